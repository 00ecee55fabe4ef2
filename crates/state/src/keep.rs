//! What lasts: each node's mark and history, in redb. A thread owns the database. Where it can't be written the server
//! goes on, says so, and tries again with the database opened anew: after an error redb takes nothing more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use dybox_model::Millis;
use dybox_model::roster::{Mark, NodeChange};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{oneshot, watch};

use crate::conf::StateError;

/// A node's name -> JSON of its [`Row`].
const NODES: TableDefinition<&str, &[u8]> = TableDefinition::new("nodes");
/// Between two tries to write what could not be written.
const AGAIN: Duration = Duration::from_secs(5);
/// The roster is small, and so is what is cached of it.
const CACHE: usize = 1 << 20;

/// What becomes of a change that is refused.
const UNKEPT: &str = "what was said holds while this server or the node's agent lives, and is kept once it can be";

/// What is kept of a node.
pub(crate) type Row = (Mark, Vec<NodeChange>);

/// Something to keep; no row = forget the node.
struct Order {
    host: String,
    row: Option<Row>,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Keep {
    orders: Sender<Order>,
    trouble: watch::Receiver<Option<String>>,
}

/// What was found at the start.
pub(crate) struct Found {
    pub(crate) keep: Keep,
    pub(crate) rows: BTreeMap<String, Row>,
    /// Said for as long as the server lives.
    pub(crate) trouble: Option<String>,
}

impl Keep {
    /// Opens the database in `dir`, or makes it. One that can't be read is kept aside, and the server starts with an
    /// empty one.
    pub(crate) fn open(dir: &Path, now: Millis) -> Result<Found, StateError> {
        let path = dir.join("roster.redb");
        let (database, rows, trouble) = match load(&path) {
            Ok((database, rows)) => (database, rows, None),
            Err(Unread::InUse) => return Err(StateError::InUse { dir: dir.to_owned() }),
            Err(Unread::Damaged(why)) => {
                let aside = path.with_extension(format!("redb.bad-{}", now.0));
                std::fs::rename(&path, &aside).map_err(|source| file("put aside", &path, source))?;
                let aside = aside.display();
                let trouble =
                    format!("the database was damaged ({why}): drains and histories start anew; it is {aside}");
                let (database, rows) = load(&path).map_err(|again| match again {
                    Unread::InUse => StateError::InUse { dir: dir.to_owned() },
                    Unread::Damaged(why) => file("make", &path, std::io::Error::other(why)),
                })?;
                (database, rows, Some(trouble))
            }
        };
        let (orders, given) = channel();
        let (say, said) = watch::channel(None);
        std::thread::spawn(move || write_all((&path, Some(database)), &given, &say));
        Ok(Found { keep: Self { orders, trouble: said }, rows, trouble })
    }

    /// Keeps a node's row, soon.
    pub(crate) fn put(&self, host: String, row: Option<Row>) {
        let _ = self.orders.send(Order { host, row, done: None });
    }

    /// Keeps a node's row, and says when it is on the disk, or why it is not.
    pub(crate) fn put_now(&self, host: String, row: Row, done: oneshot::Sender<Result<(), String>>) {
        let _ = self.orders.send(Order { host, row: Some(row), done: Some(done) });
    }

    /// What is wrong with the database now.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }
}

fn file(what: &'static str, path: &Path, source: std::io::Error) -> StateError {
    StateError::File { what, path: PathBuf::from(path), source }
}

enum Unread {
    InUse,
    Damaged(String),
}

fn load(path: &Path) -> Result<(Database, BTreeMap<String, Row>), Unread> {
    // What is damaged may break a promise inside of redb, too.
    let loaded = catch_unwind(AssertUnwindSafe(|| try_load(path)));
    loaded.unwrap_or_else(|_| Err(Unread::Damaged("it can't be read".to_owned())))
}

fn try_load(path: &Path) -> Result<(Database, BTreeMap<String, Row>), Unread> {
    let damaged = |error: redb::Error| Unread::Damaged(error.to_string());
    let mut database = Database::builder().set_cache_size(CACHE).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => Unread::InUse,
        other => damaged(other.into()),
    })?;
    database.check_integrity().map_err(|error| damaged(error.into()))?;
    let read = || -> Result<_, redb::Error> {
        let making = database.begin_write()?;
        making.open_table(NODES)?;
        making.commit()?;
        let reading = database.begin_read()?;
        let table = reading.open_table(NODES)?;
        let mut rows = BTreeMap::new();
        for entry in table.iter()? {
            let (host, row) = entry?;
            rows.insert(host.value().to_owned(), serde_json::from_slice::<Row>(row.value()));
        }
        Ok(rows)
    };
    let rows = read().map_err(damaged)?;
    let rows = rows.into_iter().map(|(host, row)| Ok((host, row?))).collect::<Result<_, serde_json::Error>>();
    Ok((database, rows.map_err(|error| Unread::Damaged(error.to_string()))?))
}

/// Until nobody orders any more. Many orders at a time become one transaction.
fn write_all(
    (path, mut database): (&Path, Option<Database>),
    orders: &Receiver<Order>,
    say: &watch::Sender<Option<String>>,
) {
    let mut open = BTreeMap::new();
    loop {
        let mut waiting = Vec::new();
        let mut take = |order: Order| {
            open.insert(order.host, order.row);
            waiting.extend(order.done);
        };
        match if say.borrow().is_some() { orders.recv_timeout(AGAIN) } else { orders.recv().map_err(Into::into) } {
            Ok(order) => take(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        orders.try_iter().for_each(&mut take);
        let written = match &database {
            Some(database) => write(database, &open).map_err(|error| error.to_string()),
            None => Err("it can't be opened".to_owned()),
        };
        let written = written.map_err(|why| format!("the database can't be written: {why}"));
        if written.is_ok() {
            open.clear();
        } else {
            drop(database.take());
            database = again(path);
        }
        for done in waiting {
            let _ = done.send(written.clone().map_err(|why| format!("{why}; {UNKEPT}")));
        }
        let trouble = written.err();
        say.send_if_modified(|said| {
            let changed = *said != trouble;
            if changed && let Some(trouble) = &trouble {
                tracing::warn!("{trouble}");
            }
            *said = trouble;
            changed
        });
    }
}

/// The same database once more, with a repair where one is due; nothing where there is no room even for that.
fn again(path: &Path) -> Option<Database> {
    catch_unwind(|| Database::builder().set_cache_size(CACHE).create(path).ok()).ok().flatten()
}

fn write(database: &Database, rows: &BTreeMap<String, Option<Row>>) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(NODES)?;
        for (host, row) in rows {
            match row {
                Some(row) => {
                    drop(table.insert(host.as_str(), serde_json::to_vec(row).expect("a row is JSON").as_slice())?)
                }
                None => drop(table.remove(host.as_str())?),
            }
        }
    }
    Ok(writing.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rev: u64) -> Row {
        (
            Mark { rev, drained: true, ..Mark::default() },
            vec![NodeChange { at: Millis(1), to: "drained".to_owned(), why: "by ann".to_owned() }],
        )
    }

    fn open(dir: &Path) -> Found {
        Keep::open(dir, Millis(7)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn put(keep: &Keep, host: &str, row: Row) -> Result<(), String> {
        let (done, kept) = oneshot::channel();
        keep.put_now(host.to_owned(), row, done);
        kept.blocking_recv().unwrap()
    }

    /// The thread lets go of the file a moment after its last order.
    fn reopened(dir: &Path) -> Found {
        for _ in 0..500 {
            match Keep::open(dir, Millis(7)) {
                Err(StateError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
                other => return other.unwrap_or_else(|error| panic!("{error}")),
            }
        }
        panic!("the database stays in use");
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let found = open(dir.path());
        assert!(found.rows.is_empty() && found.trouble.is_none());
        put(&found.keep, "n1", row(1)).unwrap();
        put(&found.keep, "n2", row(1)).unwrap();
        found.keep.put("n2".to_owned(), None);
        put(&found.keep, "n1", row(2)).unwrap();
        assert!(matches!(Keep::open(dir.path(), Millis(7)), Err(StateError::InUse { .. })));
        drop(found);
        assert_eq!(reopened(dir.path()).rows, BTreeMap::from([("n1".to_owned(), row(2))]));
    }

    #[test]
    fn a_damaged_database_is_put_aside_and_said() {
        for damage in [b"nonsense".repeat(2000), Vec::from(*b"x")] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("roster.redb"), &damage).unwrap();
            let found = open(dir.path());
            assert!(found.rows.is_empty());
            let trouble = found.trouble.unwrap();
            assert!(trouble.contains("start anew") && trouble.contains("roster.redb.bad-7"), "{trouble}");
            assert_eq!(std::fs::read(dir.path().join("roster.redb.bad-7")).unwrap(), damage);
            put(&found.keep, "n1", row(1)).unwrap();
        }
    }

    #[test]
    fn a_page_that_was_overwritten_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let found = open(dir.path());
        put(&found.keep, "n1", row(1)).unwrap();
        drop(found);
        drop(reopened(dir.path()));
        let path = dir.path().join("roster.redb");
        let mut bytes = loop {
            // It is whole once nobody has it any more.
            if let Ok(found) = Keep::open(dir.path(), Millis(7)) {
                drop(found);
                std::thread::sleep(Duration::from_millis(200));
                break std::fs::read(&path).unwrap();
            }
        };
        for byte in bytes.iter_mut().skip(4096) {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &bytes).unwrap();
        let found = open(dir.path());
        assert!(found.rows.is_empty() && found.trouble.is_some());
    }
}
