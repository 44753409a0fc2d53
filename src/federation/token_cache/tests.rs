use std::time::SystemTime;

use super::*;
use crate::model::credentials::{Content, Principal};
use crate::system::log::Format;

/// Makes tokens that live for an hour, in a second, or fails.
struct Maker {
    clock: Rc<dyn Fn() -> SystemTime>,
    made: Cell<u32>,
    fails: Cell<bool>,
}

impl TokenIssuer for Maker {
    fn mint<'a>(&'a self, _: &'a Http, _: &'a TokenRequest) -> BoxFuture<'a, Result<Credentials>> {
        Box::pin(async {
            self.made.set(self.made.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.fails.get() {
                return Err(Error::new(Kind::Fatal, "make", "", "broken"));
            }
            Ok(Credentials {
                content: Content::GoogleToken(self.made.get().to_string().into()),
                expiration: (self.clock)() + Duration::from_secs(3600),
                principal: Principal::Google("a@b".into()),
            })
        })
    }
}

fn start() -> (TokenCache, Rc<Maker>) {
    let start = Instant::now();
    let clock: Rc<dyn Fn() -> SystemTime> =
        Rc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + start.elapsed());
    let maker = Rc::new(Maker { clock: clock.clone(), made: Cell::default(), fails: Cell::default() });
    let world = Rc::new(World::imagined(&[], move || clock()));
    let log = Log::new(Format::Json, Severity::Critical);
    (TokenCache::new(world, log, maker.clone(), TokenRequest::AccessToken(vec!["usual".into()])), maker)
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

fn id(audience: &str) -> TokenRequest {
    TokenRequest::IdToken(audience.into())
}

/// A connection that nobody has had before.
fn anyone() -> Rc<Client> {
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(1) });
    let number = NUMBER.get();
    NUMBER.set(number + 1);
    Rc::new(Client::new(Rc::default(), None, number))
}

fn of(user: u32) -> Rc<Client> {
    Rc::new(Client::of(Owner::User(user), anyone().number))
}

/// Asks for ever new audiences.
fn greedy(tokens: &TokenCache, client: &Rc<Client>) {
    let (tokens, client) = (tokens.clone(), client.clone());
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let _ = tokens.token(&id(&format!("{}-{number}", client.number)), &client).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}

fn other() -> TokenRequest {
    TokenRequest::AccessToken(vec!["other".into()])
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_are_one_exchange_and_those_who_go_away_do_not_end_it() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            for fails in [false, true] {
                maker.fails.set(fails);
                let wanted = id(if fails { "b" } else { "a" });
                let before = maker.made.get();
                let impatient = tokio::time::timeout(Duration::from_millis(10), tokens.token(&wanted, &anyone())).await;
                assert!(impatient.is_err());
                let all: Vec<_> = (0..1000)
                    .map(|_| {
                        let (tokens, wanted) = (tokens.clone(), wanted.clone());
                        tokio::task::spawn_local(async move { tokens.token(&wanted, &anyone()).await.is_ok() })
                    })
                    .collect();
                for one in all {
                    assert_eq!(one.await.expect("a task"), !fails);
                }
                assert_eq!(maker.made.get() - before, 1);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn made_anew_when_old_and_the_last_good_one_is_kept() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            let made = |wanted: TokenRequest| {
                let (tokens, maker) = (tokens.clone(), maker.clone());
                async move {
                    let before = maker.made.get();
                    let good = tokens.token(&wanted, &anyone()).await.is_ok();
                    // What is renewed in the background comes a second later.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    (good, maker.made.get() - before)
                }
            };
            assert_eq!(made(other()).await, (true, 1));
            assert_eq!(made(id("a")).await, (true, 1));
            minutes(4).await;
            assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 0)));
            minutes(2).await;
            assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 1)));
            minutes(30).await;
            assert_eq!(made(other()).await, (true, 1));
            minutes(10).await;
            maker.fails.set(true);
            assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 1)));
            minutes(45).await;
            assert!(!made(id("a")).await.0 && made(other()).await.0);
            assert!(tokens.ready(&other()).is_none());
            maker.fails.set(false);
            minutes(2).await;
            assert_eq!(made(id("a")).await, (true, 1));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_usual_one_is_the_loops_affair() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            let usual = tokens.0.usual.clone();
            assert!(tokens.token(&usual, &anyone()).await.is_err());
            assert_eq!(maker.made.get(), 0);
            tokens.issue(None).await.expect("a token");
            minutes(58).await;
            assert!(tokens.ready(&usual).is_some() && tokens.token(&usual, &anyone()).await.is_ok());
            assert_eq!(maker.made.get(), 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_usual_one_is_waited_for_while_it_has_not_failed() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            let usual = tokens.0.usual.clone();
            let (issuing, asking) = (tokens.clone(), anyone());
            tokio::task::spawn_local(async move { drop(issuing.issue(None).await) });
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(tokens.token(&usual, &asking).await.is_ok());
            minutes(61).await;
            maker.fails.set(true);
            let _ = tokens.issue(None).await;
            let start = Instant::now();
            assert!(tokens.token(&usual, &asking).await.is_err());
            assert_eq!(start.elapsed(), Duration::ZERO);
        })
        .await;
}

/// Three hundred connections ask for ever new ones; then a client that has asked for nothing yet asks for one.
#[tokio::test(start_paused = true)]
async fn nobody_starves() {
    for (whose, user, honest) in [("the same user's", 1, 1), ("another user's", 1, 2)] {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                tokens.issue(None).await.expect("a token");
                assert!(tokens.token(&id("known"), &of(honest)).await.is_ok());
                assert!(tokens.token(&id("known"), &of(honest)).await.is_ok());
                let start = Instant::now();
                let before = maker.made.get();
                (0..300).for_each(|_| greedy(&tokens, &of(user)));
                for round in 0..10 {
                    tokio::time::sleep(Duration::from_secs(6)).await;
                    let asked = Instant::now();
                    let token = tokens.token(&id(&format!("honest-{round}")), &of(honest)).await;
                    // The token takes a second to be made.
                    let took = asked.elapsed();
                    assert!(token.is_ok() && took < Duration::from_secs(3), "{whose} {round}: {took:?}");
                    assert!(tokens.ready(&id("known")).is_some() || start.elapsed().as_secs() > 200, "{whose}");
                    assert!(tokens.ready(&tokens.0.usual).is_some());
                }
                let (made, time) = (maker.made.get() - before, start.elapsed().as_secs_f64());
                assert!(f64::from(made) <= 60.0 + 2.0 * time, "{whose}: {made} in {time} s");
                assert!(f64::from(made) >= 1.4 * time, "{whose}: {made} in {time} s");
                assert!(tokens.0.entries.borrow().len() <= MOST + 72);
            })
            .await;
    }
}

/// New connections for each question, by another user.
#[tokio::test(start_paused = true)]
async fn nobody_starves_beside_another_user() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, _) = start();
            for _ in 0..300 {
                let tokens = tokens.clone();
                tokio::task::spawn_local(async move {
                    loop {
                        let client = of(1);
                        let _ = tokens.token(&id(&client.number.to_string()), &client).await;
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                });
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            let asked = Instant::now();
            assert!(tokens.token(&id("honest"), &of(2)).await.is_ok());
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn ever_new_audiences_do_not_fill_the_memory() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (tokens, _) = start();
            tokens.issue(None).await.expect("a token");
            let (mut got, mut refused) = (0, 0);
            let known = of(7);
            for number in 0..1200_u32 {
                match tokens.token(&id(&number.to_string()), &of(number % 3)).await {
                    Ok(_) => got += 1,
                    Err(_) => refused += 1,
                }
                if number % 100 == 0 {
                    assert!(tokens.token(&id("known"), &known).await.is_ok(), "{number}");
                }
            }
            assert!(got > 600, "{got} got, {refused} refused");
            assert_eq!(tokens.0.entries.borrow().len(), MOST);
            assert!(tokens.ready(&tokens.0.usual).is_some());
            // What is asked for again stays before what was asked for once.
            assert!(
                tokens.0.entries.borrow().iter().any(|entry| entry.request == id("known") && entry.is_in_use.get())
            );
        })
        .await;
}
