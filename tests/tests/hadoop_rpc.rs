//! Hadoop RPC against the real servers: logging in, wrong doors, and a server that dies under a live client.

use std::time::Duration;

use dybox_hrpc::{Address, Auth, Call, Client, Options as Rpc, RpcError, Settings, Target, Token};
use dybox_tests::cluster::{Cluster, Daemon, Options};
use prost::Message;

const CLIENT: &str = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB";
const MASTER: &str = "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB";
const NAME_NODE: &str = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
const CALL: Call = Call { deadline: Duration::from_secs(60), idempotent: true };

/// Of any answer, its first field: bytes, or a message as bytes.
#[derive(Clone, PartialEq, Message)]
struct First {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

struct Doors(Cluster);

impl Doors {
    fn client(&self, service: &str, protocol: &'static str, auth: Auth) -> Client {
        let settings = Settings::load(&[self.0.conf_dir()]).expect("the cluster's configuration");
        let options = Rpc::from_settings(&settings).expect("good values");
        let addresses = vec![Address::new("127.0.0.1", self.0.ports().of(service))];
        Client::new(Target { addresses, protocol, auth, options })
    }

    fn by_name(&self, service: &str, protocol: &'static str) -> Client {
        self.client(service, protocol, Auth::Simple { user: "ann".to_owned() })
    }

    async fn wrong(&self, service: &str, protocol: &'static str, method: &str) -> RpcError {
        let answer: Result<First, _> = self.by_name(service, protocol).call(method, &(), CALL).await;
        let error = answer.expect_err("it is the wrong door");
        let port = self.0.ports().of(service).to_string();
        assert!(error.to_string().contains(&port) && !error.to_string().contains('\n'), "{error}");
        error
    }
}

#[test]
fn servers_are_called_and_wrong_doors_are_told_apart() {
    let doors = Doors(Cluster::start(&Options { nodes: 1, engines: false, ..Options::default() }));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let rm = doors.by_name("rm.client", CLIENT);
        let asked = (0..50).map(|_| rm.call::<_, First>("getNewApplication", &(), CALL));
        let mut ids: Vec<_> =
            futures_util::future::join_all(asked).await.into_iter().map(|one| one.expect("an id").bytes).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50, "each call has its own answer");
        let defaults: First =
            doors.by_name("nn.rpc", NAME_NODE).call("getServerDefaults", &(), CALL).await.expect("it answers");
        assert!(!defaults.bytes.is_empty());

        wrong_doors(&doors).await;
        strangers(&doors).await;
        a_server_dies(&doors, &rm).await;
    });
}

async fn wrong_doors(doors: &Doors) {
    for service in ["rm.http", "nn.http"] {
        let error = doors.wrong(service, CLIENT, "getNewApplication").await;
        assert!(matches!(error, RpcError::NotHadoop { .. }), "{error:?}");
        assert!(error.advice().contains("RPC port"), "{}", error.advice());
    }
    let error = doors.wrong("rm.client", NAME_NODE, "getServerDefaults").await;
    assert!(error.is("RpcNoSuchProtocolException") && error.advice().contains("another Hadoop service"), "{error:?}");
    let error = doors.wrong("nn.rpc", CLIENT, "getNewApplication").await;
    assert!(error.is("RpcNoSuchProtocolException"), "{error:?}");
    let error = doors.wrong("rm.client", CLIENT, "noSuchMethod").await;
    assert!(error.is("RpcNoSuchMethodException"), "{error:?}");
    // Nobody gets in there by name alone.
    let error = doors.wrong("rm.scheduler", MASTER, "registerApplicationMaster").await;
    assert!(matches!(error, RpcError::Denied { .. } | RpcError::Mechanism { .. }), "{error:?}");
    assert!(error.to_string().contains("TOKEN"), "{error}");
}

async fn strangers(doors: &Doors) {
    let token = Token {
        alias: String::new(),
        identifier: b"\x0a\x02\x08\x01".to_vec(),
        password: vec![1; 20],
        kind: String::new(),
        service: String::new(),
    };
    let client = doors.client("rm.scheduler", MASTER, Auth::Token(token));
    let error = client.call::<_, First>("registerApplicationMaster", &(), CALL).await.expect_err("nobody's token");
    assert!(matches!(error, RpcError::Denied { .. }), "{error:?}");
    assert!(error.advice().contains("token"), "{}", error.advice());
}

async fn a_server_dies(doors: &Doors, rm: &Client) {
    doors.0.kill(Daemon::ResourceManager);
    let error = rm.call::<_, First>("getNewApplication", &(), CALL).await.expect_err("it is down");
    assert!(matches!(error, RpcError::Refused { .. } | RpcError::Broken { .. }), "{error:?}");
    let error = rm.call::<_, First>("getNewApplication", &(), CALL).await.expect_err("it is still down");
    assert!(matches!(error, RpcError::Refused { .. }), "{error:?}");
    doors.0.revive(Daemon::ResourceManager);
    doors.0.until_ready();
    rm.call::<_, First>("getNewApplication", &(), CALL).await.expect("the same client goes on");
    // One that is killed and back between two calls is not even noticed.
    doors.0.restart(Daemon::ResourceManager);
    rm.call::<_, First>("getNewApplication", &(), CALL).await.expect("it connects again");
}
