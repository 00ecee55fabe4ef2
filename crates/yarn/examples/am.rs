//! A master that runs N containers of `sleep`, resizes one, pins one, and says how long each step took. With `crash`
//! its first attempt dies in the middle and its second goes on; with `slow` there is time to kill
//! daemons; with `pin` it also asks for a node that there is not.

#![expect(clippy::print_stdout, reason = "an example speaks to whoever runs it")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Instant;

use dybox_hrpc::{Credentials, Settings, kind};
use dybox_model::{Resources, Wish};
use dybox_yarn::am::{self, Event, Order};
use dybox_yarn::{Container, ContainerId, FinalStatus, Launch};

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

struct Run {
    handle: am::Handle,
    began: Instant,
    crash: bool,
    slow: bool,
    left: BTreeSet<ContainerId>,
    started: usize,
    updates: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count: u32 = arguments.first().ok_or("how many?")?.parse()?;
    let site: BTreeMap<String, String> = variable("SITE")?
        .split(';')
        .filter_map(|pair| pair.split_once('\t'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let credentials = Credentials::read(&std::fs::read(variable("HADOOP_TOKEN_FILE_LOCATION")?)?)?;
    let token = credentials.token(kind::AM_RM).ok_or("no token")?.clone();
    let own: ContainerId = variable("CONTAINER_ID")?.parse()?;
    let slow = arguments.get(1).is_some_and(|mode| mode == "slow");
    let crash = own.attempt.number == 1 && arguments.get(1).is_some_and(|mode| mode == "crash");
    println!("{:>7.3} s {own}, secret {:?}", began.elapsed().as_secs_f64(), credentials.secrets.keys());
    let mut conf = am::Conf::new(Settings::from_map(site), own, token);
    conf.user = Some("root".to_owned());
    conf.host = variable("NM_HOST")?;
    conf.rpc_port = 4711;
    let (handle, mut events) = am::start(conf);
    if arguments.get(1).is_some_and(|mode| mode == "pin") {
        // Nothing answers to it, and nothing else waits for it.
        handle.order(Order::Ask { wish: Wish { hosts: vec!["127.0.0.99".to_owned()], ..wish() }, count: 1 });
    }
    if own.attempt.number == 1 {
        handle.order(Order::Ask { wish: wish(), count });
    }
    let mut run = Run { handle, began, crash, slow, left: BTreeSet::new(), started: 0, updates: 0 };
    while let Some(event) = events.recv().await {
        if run.take(event).await? {
            break;
        }
    }
    Ok(())
}

fn wish() -> Wish {
    Wish::anywhere(Resources { cpu_milli: 1000, memory: 64 << 20 })
}

impl Run {
    fn say(&self, text: &str) {
        println!("{:>7.3} s {text}", self.began.elapsed().as_secs_f64());
    }

    async fn take(&mut self, event: Event) -> Result<bool, Box<dyn Error>> {
        match event {
            Event::Registered { max, queue, previous } => {
                self.say(&format!("registered in {queue}, max {max:?}, previous {}", previous.len()));
                self.left.extend(previous.iter().map(|container| container.id));
            }
            Event::Granted { container, .. } => self.granted(container).await?,
            Event::Completed { id, exit, diagnostics } => {
                self.say(&format!("completed {id}: {exit} {diagnostics}"));
                self.left.remove(&id);
                if self.left.is_empty() {
                    let (status, url) = (FinalStatus::Succeeded, String::new());
                    self.handle.order(Order::Finish { status, diagnostics: "all done".to_owned(), url });
                }
            }
            Event::Updated(container) => {
                self.say(&format!("resized {} to {:?}", container.id, container.size));
                self.handle.node_managers().update(&container).await?;
                self.say("the node knows the new size");
            }
            Event::Finished => {
                self.say("finished");
                return Ok(true);
            }
            Event::Dead { why } => return Err(format!("dead: {why}").into()),
            other => self.say(&format!("{other:?}")),
        }
        Ok(false)
    }

    async fn granted(&mut self, container: Container) -> Result<(), Box<dyn Error>> {
        self.say(&format!("granted {container:?}"));
        let seconds = if self.slow {
            20
        } else if self.crash {
            4
        } else {
            1
        };
        let launch = Launch {
            command: format!("exec sleep {seconds} 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr"),
            ..Launch::default()
        };
        let nodes = self.handle.node_managers();
        nodes.start(&container, &launch).await?;
        self.left.insert(container.id);
        self.started += 1;
        self.say(&format!("started on {}: {:?}", container.node, nodes.status(&container.node, container.id).await?));
        if self.started == 1 {
            let size = Resources { memory: 128 << 20, ..container.size };
            self.handle.order(Order::Update { container: container.id, size });
            self.updates += 1;
            let pinned = Wish { hosts: vec!["127.0.0.3".to_owned()], ..wish() };
            self.handle.order(Order::Ask { wish: pinned, count: 1 });
        }
        if self.crash && self.started == 3 {
            self.say("crash");
            std::process::exit(9);
        }
        Ok(())
    }
}
