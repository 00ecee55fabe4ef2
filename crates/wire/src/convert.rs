//! Messages of the proto <-> words of the model.

use dybox_model::{AttemptId, Exit, GrantId, Millis, StageId, Visit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::WireError;
use crate::message::{LiveGrant, MasterOrder, Piece, ProxyNews, Waiting, Watched};
use crate::proto::{self, from_proxy::News, to_proxy::Order, watch_reply::Item};

fn garbled(why: impl std::fmt::Display) -> WireError {
    WireError::Garbled { why: why.to_string() }
}

pub(crate) fn json<T: Serialize>(value: &T) -> bytes::Bytes {
    serde_json::to_vec(value).expect("the model's values have text keys only, so they are JSON").into()
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(bytes).map_err(garbled)
}

pub(crate) fn attempt(text: &str) -> Result<AttemptId, WireError> {
    text.parse().map_err(garbled)
}

/// What is wanted beside the payload; nothing where the bytes are empty.
pub(crate) fn visit(bytes: &[u8]) -> Result<Option<Box<Visit>>, WireError> {
    if bytes.is_empty() { Ok(None) } else { from_json(bytes).map(Some) }
}

pub(crate) fn news_out(news: ProxyNews) -> proto::FromProxy {
    let news = match news {
        ProxyNews::Hello { grant, pid, attempts } => News::Hello(proto::Hello {
            grant: grant.0,
            pid,
            attempts: attempts.iter().map(ToString::to_string).collect(),
        }),
        ProxyNews::Runs { attempt, container, image, image_id, ports } => {
            let ports = if ports.is_empty() { bytes::Bytes::new() } else { json(&ports) };
            News::Runs(proto::Runs { attempt: attempt.to_string(), container, image, image_id, ports })
        }
        ProxyNews::Exited { attempt, exit } => {
            News::Exited(proto::Exited { attempt: attempt.to_string(), exit: json(&exit) })
        }
        ProxyNews::Noted(note) => News::Noted(proto::Noted { note: json(&note) }),
        ProxyNews::Swept { grant, exits } => News::Swept(proto::Swept {
            grant: grant.0,
            attempts: exits
                .into_iter()
                .map(|(attempt, exit)| proto::SweptAttempt {
                    attempt: attempt.to_string(),
                    exit: exit.map(|exit| json(&exit)).unwrap_or_default(),
                })
                .collect(),
        }),
        ProxyNews::Limited { attempt, memory, why_not } => {
            News::Limited(proto::Limited { attempt: attempt.to_string(), memory, why_not: why_not.unwrap_or_default() })
        }
        ProxyNews::Leaving { why } => News::Leaving(proto::Leaving { why }),
    };
    proto::FromProxy { news: Some(news) }
}

pub(crate) fn news_in(message: proto::FromProxy) -> Result<ProxyNews, WireError> {
    Ok(match message.news.ok_or_else(|| garbled("news of an unknown kind"))? {
        News::Hello(hello) => ProxyNews::Hello {
            grant: GrantId(hello.grant),
            pid: hello.pid,
            attempts: hello.attempts.iter().map(|text| attempt(text)).collect::<Result<_, _>>()?,
        },
        News::Runs(runs) => ProxyNews::Runs {
            attempt: attempt(&runs.attempt)?,
            container: runs.container,
            image: runs.image,
            image_id: runs.image_id,
            ports: if runs.ports.is_empty() { Vec::new() } else { from_json(&runs.ports)? },
        },
        News::Exited(exited) => {
            ProxyNews::Exited { attempt: attempt(&exited.attempt)?, exit: from_json(&exited.exit)? }
        }
        News::Noted(noted) => ProxyNews::Noted(from_json(&noted.note)?),
        News::Swept(swept) => ProxyNews::Swept {
            grant: GrantId(swept.grant),
            exits: swept.attempts.iter().map(swept_in).collect::<Result<_, _>>()?,
        },
        News::Limited(limited) => ProxyNews::Limited {
            attempt: attempt(&limited.attempt)?,
            memory: limited.memory,
            why_not: Some(limited.why_not).filter(|why| !why.is_empty()),
        },
        News::Leaving(leaving) => ProxyNews::Leaving { why: leaving.why },
    })
}

fn swept_in(swept: &proto::SweptAttempt) -> Result<(AttemptId, Option<Exit>), WireError> {
    let exit = if swept.exit.is_empty() { None } else { Some(from_json(&swept.exit)?) };
    Ok((attempt(&swept.attempt)?, exit))
}

pub(crate) fn order_out(order: MasterOrder) -> proto::ToProxy {
    let order = match order {
        MasterOrder::Welcome { epoch } => Order::Welcome(proto::Welcome { epoch }),
        MasterOrder::Start(spec) => Order::Start(proto::Start { spec: json(&*spec) }),
        MasterOrder::Halt { attempt, now } => Order::Halt(proto::Halt { attempt: attempt.to_string(), now }),
        MasterOrder::Ack { attempt } => Order::Ack(proto::Ack { attempt: attempt.to_string() }),
        MasterOrder::Leave => Order::Leave(proto::Leave {}),
        MasterOrder::Sweep { grant } => Order::Sweep(proto::Sweep { grant: grant.0 }),
        MasterOrder::Prefetch { image } => Order::Prefetch(proto::Prefetch { image }),
        MasterOrder::Limit { attempt, memory } => Order::Limit(proto::Limit { attempt: attempt.to_string(), memory }),
        MasterOrder::Read { ticket, offset, max } => Order::Read(proto::ReadOrder { ticket, offset, max }),
        MasterOrder::Attach { ticket, attempt, visit } => {
            let visit = visit.as_ref().map(json).unwrap_or_default();
            Order::Attach(proto::AttachOrder { ticket, attempt: attempt.to_string(), visit })
        }
    };
    proto::ToProxy { order: Some(order) }
}

pub(crate) fn order_in(message: proto::ToProxy) -> Result<MasterOrder, WireError> {
    Ok(match message.order.ok_or_else(|| garbled("an order of an unknown kind"))? {
        Order::Welcome(welcome) => MasterOrder::Welcome { epoch: welcome.epoch },
        Order::Start(start) => MasterOrder::Start(Box::new(from_json(&start.spec)?)),
        Order::Halt(halt) => MasterOrder::Halt { attempt: attempt(&halt.attempt)?, now: halt.now },
        Order::Ack(ack) => MasterOrder::Ack { attempt: attempt(&ack.attempt)? },
        Order::Leave(_) => MasterOrder::Leave,
        Order::Sweep(sweep) => MasterOrder::Sweep { grant: GrantId(sweep.grant) },
        Order::Prefetch(prefetch) => MasterOrder::Prefetch { image: prefetch.image },
        Order::Limit(limit) => MasterOrder::Limit { attempt: attempt(&limit.attempt)?, memory: limit.memory },
        Order::Read(read) => MasterOrder::Read { ticket: read.ticket, offset: read.offset, max: read.max },
        Order::Attach(open) => {
            MasterOrder::Attach { ticket: open.ticket, attempt: attempt(&open.attempt)?, visit: visit(&open.visit)? }
        }
    })
}

pub(crate) fn watched_out(watched: Watched) -> proto::WatchReply {
    let item = match watched {
        Watched::Frames(frames) => Item::Frames(frames),
        Watched::Note(note) => Item::Note(json(&note)),
    };
    proto::WatchReply { item: Some(item) }
}

pub(crate) fn watched_in(message: proto::WatchReply) -> Result<Watched, WireError> {
    Ok(match message.item.ok_or_else(|| garbled("an item of an unknown kind"))? {
        Item::Frames(frames) => Watched::Frames(frames),
        Item::Note(note) => Watched::Note(from_json(&note)?),
    })
}

pub(crate) fn waiting_out(waiting: Waiting) -> proto::Waiting {
    proto::Waiting { stage: waiting.stage.0, tasks: waiting.tasks, why: waiting.why }
}

pub(crate) fn waiting_in(waiting: proto::Waiting) -> Waiting {
    Waiting { stage: StageId(waiting.stage), tasks: waiting.tasks, why: waiting.why }
}

pub(crate) fn piece_out(piece: Piece) -> proto::Piece {
    proto::Piece { bytes: piece.bytes, total: piece.total, closed: piece.closed }
}

pub(crate) fn piece_in(piece: proto::Piece) -> Piece {
    Piece { bytes: piece.bytes, total: piece.total, closed: piece.closed }
}

pub(crate) fn grant_out(grant: LiveGrant) -> proto::LiveGrant {
    proto::LiveGrant {
        grant: grant.grant.0,
        host: grant.host,
        container: grant.container.unwrap_or_default(),
        size: json(&grant.size),
        since: grant.since.0,
        linked: grant.linked,
    }
}

pub(crate) fn grant_in(grant: proto::LiveGrant) -> Result<LiveGrant, WireError> {
    Ok(LiveGrant {
        grant: GrantId(grant.grant),
        host: grant.host,
        container: Some(grant.container).filter(|id| !id.is_empty()),
        size: from_json(&grant.size)?,
        since: Millis(grant.since),
        linked: grant.linked,
    })
}
