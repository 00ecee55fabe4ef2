//! The files of the budget: shares and who waits.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant, SystemTime};

use dybox_model::{GrantId, Resources, RunId};
use tokio::time::sleep;

use crate::Conf;
use crate::error::{LocalError, file};
use crate::share::{Share, Short, Verdict, Waiter, is_owed, verdict};

/// Shares are counted in well under a millisecond; whoever holds the lock longer was stopped.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_AGAIN: Duration = Duration::from_millis(3);
/// A waiting run says so again every second; after this long without a word it does not count.
const WAITER_STALE: Duration = Duration::from_secs(5);

/// One master's hands on the machine's budget.
#[derive(Debug)]
pub struct Ledger {
    conf: Conf,
    counter: u32,
    /// What the run held at the last look, and since when it has held just that: who waits longer comes first.
    held: Resources,
    since: SystemTime,
}

/// What a master waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) size: Resources,
    pub(crate) priority: i32,
    pub(crate) count: u32,
}

impl Ask {
    /// Whether they differ in their number alone.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.size, self.priority) == (other.size, other.priority)
    }
}

/// A share that was taken: the lock on its file, to be inherited by the proxy.
#[derive(Debug)]
pub struct Taken {
    /// The grant.
    pub grant: GrantId,
    /// Its size.
    pub size: Resources,
    /// The priority that it was asked with.
    pub priority: i32,
    /// The locked file. Dropping it leaves a dead share.
    pub lock: File,
}

/// Other runs that wait for room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) any: bool,
    /// One of them is owed room that this run holds.
    pub(crate) first: bool,
}

/// What one look at the asks gave.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) taken: Vec<Taken>,
    /// Asks that did not fit: the first of each size.
    pub(crate) short: Vec<(Resources, Short)>,
    pub(crate) others: Others,
}

impl Ledger {
    /// Makes the budget's directories where they are missing.
    ///
    /// # Errors
    /// [`LocalError::File`] when they can't be made.
    pub fn open(conf: Conf) -> Result<Self, LocalError> {
        for dir in [&conf.shares, &conf.waiting, &conf.grants] {
            fs::create_dir_all(dir).map_err(file("make the directory", dir))?;
            fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(file("close to others", dir))?;
        }
        Ok(Self { conf, counter: 0, held: Resources::default(), since: SystemTime::now() })
    }

    /// Takes what fits of the asks, in their order; of those of a lower priority nothing as long as a higher one waits.
    ///
    /// # Errors
    /// [`LocalError`]; nothing has been taken then that a share file does not show.
    pub(crate) async fn round(&mut self, asks: &[Ask]) -> Result<Round, LocalError> {
        let _budget = self.lock_budget().await?;
        let mut shares = self.shares()?;
        let waiters = self.waiters()?;
        let mut round = Round::default();
        self.notice(&shares);
        let mut waits = i32::MIN;
        for &Ask { size, priority, count } in asks.iter() {
            // Small ones must not take again and again what a larger one before them waits for.
            for _ in 0..if priority < waits { 0 } else { count } {
                match verdict(&self.waiter(size), self.conf.budget, &shares, &waiters) {
                    Verdict::Fits => {
                        let (share, taken) = self.take(size)?;
                        shares.push(share);
                        round.taken.push(Taken { priority, ..taken });
                    }
                    Verdict::Waits(short) => {
                        round.short.push((size, short));
                        break;
                    }
                }
            }
            // What can never be granted holds nobody up.
            if round.short.last().is_some_and(|(of, short)| *of == size && *short != Short::Never) {
                waits = waits.max(priority);
            }
        }
        self.notice(&shares);
        let others = waiters.iter().filter(|one| one.run != self.conf.run && one.ask.fits(self.conf.budget));
        for waiter in others {
            round.others.any = true;
            round.others.first |= is_owed(&self.conf.run, waiter, self.conf.budget, &shares);
        }
        Ok(round)
    }

    fn notice(&mut self, shares: &[Share]) {
        let own = shares.iter().filter(|share| share.run == self.conf.run);
        let held = own.fold(Resources::default(), |sum, share| sum + share.size);
        if held != self.held {
            (self.held, self.since) = (held, SystemTime::now());
        }
    }

    fn waiter(&self, ask: Resources) -> Waiter {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Waiter { run: self.conf.run.clone(), ask, since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Takes one share if it fits now.
    ///
    /// # Errors
    /// [`LocalError`] as the files have it.
    pub async fn try_take(&mut self, size: Resources) -> Result<Option<Taken>, LocalError> {
        Ok(self.round(&[Ask { size, priority: 0, count: 1 }]).await?.taken.pop())
    }

    /// Writes a share's file, complete and locked before it has its name. Called under the budget's lock.
    fn take(&mut self, size: Resources) -> Result<(Share, Taken), LocalError> {
        self.counter += 1;
        let grant = GrantId::compose(self.conf.subdag, self.conf.epoch, self.counter);
        let share = Share {
            size,
            run: self.conf.run.clone(),
            run_dir: self.conf.run_dir.clone(),
            subdag: self.conf.subdag,
            grant,
            pid: process::id(),
            swept: self.conf.swept(grant),
            log: self.conf.log(grant),
        };
        let path = self.share_path(&self.conf.run, grant);
        let fresh = self.conf.shares.join(format!(".{}.{grant}", self.conf.run));
        let made = || -> io::Result<File> {
            let mut lock = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            lock.try_lock().map_err(io::Error::from)?;
            lock.write_all(&serde_json::to_vec(&share)?)?;
            fs::rename(&fresh, &path)?;
            Ok(lock)
        };
        let lock = made().map_err(file("write the share", &path))?;
        Ok((share, Taken { grant, size, priority: 0, lock }))
    }

    /// Every share, live and dead. What a power cut left half-written is removed: its boot's containers are gone.
    pub(crate) fn shares(&self) -> Result<Vec<Share>, LocalError> {
        let mut shares = Vec::new();
        for (path, text) in files(&self.conf.shares)? {
            match serde_json::from_slice(&text) {
                Ok(share) => shares.push(share),
                Err(_) if is_locked(&path) => {}
                Err(_) => remove(&path)?,
            }
        }
        Ok(shares)
    }

    /// Grants of this sub-DAG that have a share, live or dead.
    ///
    /// # Errors
    /// [`LocalError::File`] when they can't be read.
    pub fn own_shares(&self) -> Result<Vec<GrantId>, LocalError> {
        let own = |share: &Share| share.run == self.conf.run && share.subdag == self.conf.subdag;
        Ok(self.shares()?.into_iter().filter(own).map(|share| share.grant).collect())
    }

    fn waiters(&self) -> Result<Vec<Waiter>, LocalError> {
        let fresh = |path: &Path| {
            let said = fs::metadata(path).and_then(|meta| meta.modified());
            // A clock that jumped back makes a file of the future: it counts until it is written again.
            said.is_ok_and(|said| SystemTime::now().duration_since(said).is_ok_and(|age| age < WAITER_STALE))
        };
        let mut waiters = Vec::new();
        for (path, text) in files(&self.conf.waiting)? {
            match serde_json::from_slice(&text) {
                Ok(waiter) if fresh(&path) => waiters.push(waiter),
                _ => {}
            }
        }
        Ok(waiters)
    }

    /// Says, or says again, that this run waits for `ask`; nothing = it waits no more.
    pub(crate) fn wait_for(&self, ask: Option<Resources>) -> Result<(), LocalError> {
        let path = self.conf.waiting.join(format!("{}.{}", self.conf.run, self.conf.subdag.0));
        let Some(ask) = ask else { return remove(&path) };
        let waiter = self.waiter(ask);
        let fresh = self.conf.waiting.join(format!(".{}.{}", self.conf.run, self.conf.subdag.0));
        let text = serde_json::to_vec(&waiter).expect("numbers and text are JSON");
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(file("write", &path))
    }

    /// The file of a share.
    #[must_use]
    pub fn share_path(&self, run: &RunId, grant: GrantId) -> PathBuf {
        self.conf.shares.join(format!("{run}.{grant}"))
    }

    /// Settings.
    pub(crate) const fn conf(&self) -> &Conf {
        &self.conf
    }

    async fn lock_budget(&self) -> Result<File, LocalError> {
        let path = &self.conf.budget_lock;
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let lock = open.map_err(file("open", path))?;
        let end = Instant::now() + LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(LOCK_AGAIN).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(LocalError::Busy { path: path.clone(), secs: LOCK_WAIT.as_secs() });
                }
                Err(TryLockError::Error(source)) => return Err(file("lock", path)(source)),
            }
        }
    }
}

/// Whether a live process holds the lock of this file.
pub(crate) fn is_locked(path: &Path) -> bool {
    // A shared lock, so that those who look do not see each other.
    File::open(path).is_ok_and(|look| matches!(look.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), LocalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Files of a directory with their text, but those whose name starts with a dot; one that goes meanwhile is no error.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, LocalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(file("list", dir))? {
        let entry = entry.map_err(file("list", dir))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match fs::read(&path) {
            Ok(text) => found.push((path, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file("read", &path)(error)),
        }
    }
    Ok(found)
}
