use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime};

use fedboot::delivery::TokenSource;
use fedboot::error::{Error, Kind, Result};
use fedboot::federation::token_cache::TokenCache;
use fedboot::federation::{CredentialsIssuer, TokenIssuer};
use fedboot::model::BoxFuture;
use fedboot::model::client::Client;
use fedboot::model::credentials::{Content, Credentials, Principal};
use fedboot::model::request::TokenRequest;
use fedboot::system::handover::Handover;
use fedboot::system::http::Http;
use fedboot::system::log::{Format, Log, Severity};
use fedboot::system::process::owner::Owner;
use fedboot::system::world::World;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Tokens that are kept.
const MOST: usize = 256;
/// Clients that wait for a turn or have one.
const MOST_WAITING: usize = 72;
/// Tokens that are left to the next agent.
const MOST_LEFT: usize = 32;

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
                identity: String::new(),
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
    (TokenCache::new(world, log, maker.clone(), usual()), maker)
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

fn usual() -> TokenRequest {
    TokenRequest::AccessToken(vec!["usual".into()])
}

fn other() -> TokenRequest {
    TokenRequest::AccessToken(vec!["other".into()])
}

fn id(audience: &str) -> TokenRequest {
    TokenRequest::IdToken(audience.into())
}

/// A connection that nobody has had before, with these ends.
fn connection(ends: Option<(SocketAddr, SocketAddr)>) -> Rc<Client> {
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(1) });
    let number = NUMBER.get();
    NUMBER.set(number + 1);
    Rc::new(Client::new(Rc::default(), ends, number))
}

/// One whose client has closed it: all of these have one owner.
fn anyone() -> Rc<Client> {
    connection(None)
}

/// Another owner than [`anyone`]'s: whoever runs the test, for whom a connection is kept open.
struct Somebody {
    ends: (SocketAddr, SocketAddr),
    _kept_open: (TcpListener, TcpStream),
}

impl Somebody {
    fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").expect("a server");
        let client = TcpStream::connect(server.local_addr().expect("an address")).expect("a connection");
        let ends = (client.local_addr().expect("its end"), client.peer_addr().expect("the other"));
        let somebody = Self { ends, _kept_open: (server, client) };
        assert_ne!(somebody.client().owner(), Owner::Nobody);
        somebody
    }

    fn client(&self) -> Rc<Client> {
        connection(Some(self.ends))
    }
}

/// Three hundred connections of one owner that ask for ever new audiences, until this is dropped.
struct Greed {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    waiting: Rc<Cell<usize>>,
    got: Rc<RefCell<Vec<Weak<Credentials>>>>,
}

impl Greed {
    /// Each asks with what `client` gives for its last client.
    fn start(tokens: &TokenCache, client: impl Fn(Rc<Client>) -> Rc<Client> + Copy + 'static) -> Self {
        let (waiting, got) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let ask = |_| {
            let (tokens, waiting, got, mut from) = (tokens.clone(), waiting.clone(), got.clone(), anyone());
            tokio::task::spawn_local(async move {
                for number in 0.. {
                    waiting.set(waiting.get() + 1);
                    let token = tokens.token(&id(&format!("{}-{number}", from.number)), &from).await;
                    waiting.set(waiting.get() - 1);
                    got.borrow_mut().extend(token.iter().map(Rc::downgrade));
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    from = client(from);
                }
            })
        };
        Self { tasks: (0..300).map(ask).collect(), waiting, got }
    }
}

impl Drop for Greed {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// How many of these tokens the cache still has.
fn kept(got: &[Weak<Credentials>]) -> usize {
    got.iter().filter(|token| token.strong_count() > 0).count()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_are_one_exchange_and_those_who_go_away_do_not_end_it() {
    LocalSet::new()
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
    LocalSet::new()
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
    LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            assert!(tokens.token(&usual(), &anyone()).await.is_err());
            assert_eq!(maker.made.get(), 0);
            tokens.issue(None).await.expect("a token");
            minutes(58).await;
            assert!(tokens.ready(&usual()).is_some() && tokens.token(&usual(), &anyone()).await.is_ok());
            assert_eq!(maker.made.get(), 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_usual_one_is_waited_for_while_it_has_not_failed() {
    LocalSet::new()
        .run_until(async {
            let (tokens, maker) = start();
            let (issuing, asking) = (tokens.clone(), anyone());
            tokio::task::spawn_local(async move { drop(issuing.issue(None).await) });
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(tokens.token(&usual(), &asking).await.is_ok());
            minutes(61).await;
            maker.fails.set(true);
            let _ = tokens.issue(None).await;
            let start = Instant::now();
            assert!(tokens.token(&usual(), &asking).await.is_err());
            assert_eq!(start.elapsed(), Duration::ZERO);
        })
        .await;
}

/// Three hundred connections ask for ever new ones; then a client that has asked for nothing yet asks for one.
#[tokio::test(start_paused = true)]
async fn nobody_starves() {
    let somebody = Somebody::new();
    for (whose, honest) in [("the same user's", None), ("another user's", Some(&somebody))] {
        let honest = || honest.map_or_else(anyone, Somebody::client);
        LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                let handover = Rc::new(Handover::default());
                tokens.take_over(handover.clone());
                tokens.issue(None).await.expect("a token");
                assert!(tokens.token(&id("known"), &honest()).await.is_ok());
                assert!(tokens.token(&id("known"), &honest()).await.is_ok());
                let start = Instant::now();
                let before = maker.made.get();
                let greed = Greed::start(&tokens, |from| from);
                for round in 0..10 {
                    tokio::time::sleep(Duration::from_secs(6)).await;
                    let asked = Instant::now();
                    let token = tokens.token(&id(&format!("honest-{round}")), &honest()).await;
                    // The token takes a second to be made.
                    let took = asked.elapsed();
                    assert!(token.is_ok() && took < Duration::from_secs(3), "{whose} {round}: {took:?}");
                    assert!(tokens.ready(&id("known")).is_some() || start.elapsed().as_secs() > 200, "{whose}");
                    assert!(tokens.ready(&usual()).is_some());
                    // Whoever was sent away has to hear of it.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    assert!(greed.waiting.get() <= MOST_WAITING, "{whose}: {} wait", greed.waiting.get());
                }
                let (made, time) = (maker.made.get() - before, start.elapsed().as_secs_f64());
                assert!(f64::from(made) <= 60.0 + 2.0 * time, "{whose}: {made} in {time} s");
                assert!(f64::from(made) >= 1.4 * time, "{whose}: {made} in {time} s");
                assert!(kept(&greed.got.borrow()) < MOST);
                drop(greed);
                tokio::time::sleep(Duration::from_secs(20)).await;
                assert!(tokens.token(&id("last"), &honest()).await.is_ok());
                // Those who were sent away have left nothing, or it would stand here before what was made.
                let left = handover.get("tokens").expect("tokens");
                assert_eq!(left.as_array().map(Vec::len), Some(MOST_LEFT), "{whose}");
            })
            .await;
    }
}

/// New connections for each question, by another user.
#[tokio::test(start_paused = true)]
async fn nobody_starves_beside_another_user() {
    let somebody = Somebody::new();
    LocalSet::new()
        .run_until(async {
            let (tokens, _) = start();
            let _greed = Greed::start(&tokens, |_| anyone());
            tokio::time::sleep(Duration::from_secs(60)).await;
            let asked = Instant::now();
            assert!(tokens.token(&id("honest"), &somebody.client()).await.is_ok());
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn ever_new_audiences_do_not_fill_the_memory() {
    let somebody = Somebody::new();
    LocalSet::new()
        .run_until(async {
            let (tokens, _) = start();
            tokens.issue(None).await.expect("a token");
            let ask = async |audience: &str, client: Rc<Client>| {
                let token = tokens.token(&id(audience), &client).await;
                token.ok().as_ref().map(Rc::downgrade)
            };
            let client = somebody.client();
            ask("known", client.clone()).await.expect("a token");
            let known = ask("known", client.clone()).await.expect("the same");
            let mut got = Vec::new();
            for number in 0..1200_u32 {
                let client = if number % 2 == 0 { somebody.client() } else { anyone() };
                got.extend(ask(&number.to_string(), client).await);
            }
            assert!(got.len() > 600, "{} got", got.len());
            // The known one and the usual one are the others.
            assert_eq!(kept(&got), MOST - 2);
            assert!(tokens.ready(&usual()).is_some());
            // What was asked for again stays before what was asked for once, and later.
            assert_eq!(kept(&[known]), 1);
        })
        .await;
}
