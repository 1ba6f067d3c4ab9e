//! `OperationResult` and [`Reply`].

use gestalt_core::{ExecError, Headers, Reply};
use gestalt_proto::v1::{OperationResult, StringList};
use std::collections::HashMap;
use tonic::Status;

/// What an app answered. Headers come out sorted by name: on the wire they have no order.
pub(crate) fn decode(result: OperationResult) -> Result<Reply, ExecError> {
    let status = match result.status {
        0 => 200,
        status => u16::try_from(status)
            .ok()
            .filter(|s| (100..=599).contains(s))
            .ok_or_else(|| ExecError::Failed(format!("answered with status {status}")))?,
    };
    let mut headers: Headers = result
        .headers
        .into_iter()
        .flat_map(|(name, list)| list.values.into_iter().map(move |value| (name.clone(), value)))
        .collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Reply { status, headers, body: result.body })
}

/// An answer for an app that called another one. Up to protocol 4 the body is a string to the peer, and one that is not
/// UTF-8 would make the whole message undecodable there.
pub(crate) fn encode(reply: Reply, version: i32) -> Result<OperationResult, Status> {
    if version < 5 && std::str::from_utf8(&reply.body).is_err() {
        return Err(Status::internal("the answer is not text, and this app's protocol carries nothing else"));
    }
    let mut headers: HashMap<String, StringList> = HashMap::new();
    for (name, value) in reply.headers {
        headers.entry(name).or_default().values.push(value);
    }
    Ok(OperationResult { status: reply.status.into(), body: reply.body, headers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn statuses_are_http_ones_and_none_is_200() {
        let check = |status| decode(OperationResult { status, ..Default::default() }).map(|r| r.status).ok();
        for (wire, expect) in [(0, Some(200)), (404, Some(404)), (99, None), (600, None), (-1, None), (70_000, None)] {
            assert_eq!(check(wire), expect, "{wire}");
        }
    }

    #[test]
    fn bytes_go_to_those_who_can_read_them() {
        let reply = |body: &'static [u8]| Reply {
            status: 201,
            headers: vec![("A".into(), "1".into()), ("A".into(), "2".into())],
            body: Bytes::from_static(body),
        };
        assert_eq!(encode(reply(b"\xff"), 4).unwrap_err().code(), tonic::Code::Internal);
        assert_eq!(encode(reply(b"\xff"), 5).unwrap().body, &b"\xff"[..]);
        let result = encode(reply(b"x"), 4).unwrap();
        assert_eq!((result.status, result.headers["A"].values.len()), (201, 2));
        assert_eq!(decode(result).unwrap(), reply(b"x"));
    }
}
