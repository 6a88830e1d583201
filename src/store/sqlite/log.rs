//! The thread that makes commits durable, beside the one that writes them.
//!
//! Waiting for the disk is most of what a commit takes, and nothing that the processor does. So the writer commits without (`synchronous=NORMAL`
//! leaves the log to the system), and goes on to the next transaction; here the log is forced to the disk, once for all commits that have come
//! by then, and only after that anybody hears of them. What a reader finds in between is what will be heard of, unless the machine loses its
//! power that very moment.
//!
//! When the disk does not take the log, nobody can know any longer what is on it: the store then writes nothing more.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Commits that may wait for the one that is being forced to the disk; the writer waits beyond that, and more gathers for its next one.
const WAITING: usize = 1;

/// What is to be done about a commit once it is known how it went.
pub(super) type Announcement = Box<dyn FnOnce(Result<(), Arc<io::Error>>) + Send>;

/// The way to the thread.
pub(super) struct Log {
    /// None: closing.
    commits: Option<SyncSender<Announcement>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log of the database at `path`, which has to be there: SQLite keeps the same file for as long as any connection is open.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = File::open(PathBuf::from(log))?;
        Self::start(move || log.sync_data())
    }

    fn start(force: impl Fn() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (commits, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("store-log".to_owned())
            .spawn(move || serve(&receiver, force))?;
        Ok(Self {
            commits: Some(commits),
            thread: Some(thread),
        })
    }

    /// Hands over what is to be done about a commit that is in the log.
    ///
    /// # Errors
    /// When the log can no longer be forced to the disk. Nothing has been announced then.
    pub(super) fn announce(&self, commit: Announcement) -> Result<(), Announcement> {
        match &self.commits {
            Some(commits) => commits.send(commit).map_err(|unsent| unsent.0),
            None => Err(commit),
        }
    }
}

impl Drop for Log {
    /// Waits until everybody has heard of what was handed over.
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the store's log ended by a panic");
        }
    }
}

/// Serves until the writer ends or the disk fails.
fn serve(commits: &Receiver<Announcement>, force: impl Fn() -> io::Result<()>) {
    while let Ok(first) = commits.recv() {
        let gathered: Vec<_> = std::iter::once(first).chain(commits.try_iter()).collect();
        let forced = force().map_err(Arc::new);
        if let Err(error) = &forced {
            tracing::error!(%error, "the store's log cannot be forced to the disk: nothing more is written; restart when the disk is sound");
        }
        for announcement in gathered {
            announcement(forced.clone());
        }
        if forced.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A disk that is done when the test says so, and how.
    fn slow_disk() -> (Log, Sender<io::Result<()>>) {
        let (done, wait) = channel();
        let wait = Mutex::new(wait);
        let force = move || wait.lock().unwrap().recv().unwrap();
        (Log::start(force).unwrap(), done)
    }

    fn note(heard: &Sender<(u32, bool)>, commit: u32) -> Announcement {
        let heard = heard.clone();
        Box::new(move |forced| heard.send((commit, forced.is_ok())).unwrap())
    }

    #[test]
    fn nobody_hears_of_a_commit_before_it_is_on_the_disk() {
        let (log, disk) = slow_disk();
        let (heard, hear) = channel();
        assert!(log.announce(note(&heard, 1)).is_ok());
        assert!(log.announce(note(&heard, 2)).is_ok());
        assert!(hear.try_recv().is_err(), "the disk is not done");
        disk.send(Ok(())).unwrap();
        assert_eq!(hear.recv(), Ok((1, true)));
        // Whether the second commit went along with the first or not, this is enough for it.
        disk.send(Ok(())).unwrap();
        assert_eq!(hear.recv(), Ok((2, true)));
    }

    #[test]
    fn after_the_disk_has_failed_nothing_more_is_said_to_be_on_it() {
        let (log, disk) = slow_disk();
        let (heard, hear) = channel();
        disk.send(Err(io::Error::other("out of order"))).unwrap();
        assert!(log.announce(note(&heard, 1)).is_ok());
        assert_eq!(hear.recv(), Ok((1, false)));
        // The thread goes; what it finds in its way is dropped, and soon nothing is taken any more.
        while log.announce(note(&heard, 2)).is_ok() {}
        drop((log, heard));
        assert!(hear.iter().all(|(_, durable)| !durable));
    }
}
