//! The first piece of work is done at once, as the command waits for it, and each later one in a thread of its own: a
//! loopback server answers while a slow disk takes its time, and goes on to do so when the disk never comes back.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result, reasons};

/// How long the disk is waited for. What it does later than that, it does unseen.
const PATIENCE: Duration = Duration::from_secs(30);

/// One file's work on the disk, one piece at a time, so that no more than one thread hangs.
pub struct Writer {
    has_begun: Cell<bool>,
    turn: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Writer {
    fn default() -> Self {
        Self { has_begun: Cell::default(), turn: Arc::new(Semaphore::new(1)), patience: PATIENCE }
    }
}

impl Writer {
    /// Does `work`.
    ///
    /// # Errors
    /// Those of `work`, and that the disk does not answer.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        if !self.has_begun.replace(true) {
            return work();
        }
        self.aside(work).await.unwrap_or_else(|| {
            Err(Error::new(Kind::Transient, "write credentials", "", "the disk has not answered yet")
                .reason(&reasons::CANNOT_WRITE))
        })
    }

    /// Asks the disk whether something `holds`; while it does not answer there is nothing that could be mended.
    pub async fn check(&self, holds: impl FnOnce() -> bool + Send + 'static) -> bool {
        self.aside(holds).await.unwrap_or(true)
    }

    /// `None`: it is not done yet, or has not even begun because another piece is not done yet.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let done = async {
            let turn = self.turn.clone().acquire_owned().await.ok()?;
            let task = tokio::task::spawn_blocking(move || {
                let done = work();
                drop(turn);
                done
            });
            task.await.ok()
        };
        tokio::time::timeout(self.patience, done).await.ok()?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_is_not_waited_for() {
        let writer = Writer { patience: Duration::from_millis(50), ..Writer::default() };
        assert_eq!(writer.run(|| Ok(1)).await.ok(), Some(1), "the first one");
        let (let_go, wait) = std::sync::mpsc::channel::<()>();
        let first = writer.run(move || Ok(wait.recv().is_ok()));
        let hung = first.await.expect_err("it hangs");
        assert!(hung.is_retryable() && hung.to_string().contains("has not answered"), "{hung}");
        assert!(writer.run(|| Ok(())).await.is_err(), "it still hangs");
        assert!(writer.check(|| false).await, "nothing to mend");
        let_go.send(()).expect("it is still there");
        while writer.run(|| Ok(())).await.is_err() {}
        while writer.check(|| false).await {}
    }
}
