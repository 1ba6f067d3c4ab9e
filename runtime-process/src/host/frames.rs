//! Makes HTTP/2 from grpcio acceptable to h2 on a Unix socket.
//!
//! grpcio puts the percent-encoded path of a Unix socket into `:authority`, `tmp%2Fgstp-x%2Fhost.sock`. That is no
//! authority in RFC 3986's grammar, and the h2 crate resets every stream that carries one. No option of the published
//! SDKs changes it. So what a child sends is walked frame by frame, and inside header frames the one known text is
//! replaced by one of the same length with `-` for `%`: neither frame lengths nor the state of header compression change,
//! for grpcio sends it as a plain literal.

use bytes::{Buf, BytesMut};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The largest frame a peer may send that was told nothing else, and this server tells it nothing else. A larger header
/// frame is passed on as it is, for h2 to refuse; no more than this is ever held back.
const MAX_FRAME: usize = 16_384;

/// How much is read from the socket at a time.
const CHUNK: usize = 16 << 10;

/// The texts grpcio may write for a socket by any of its paths, of each path the longest first.
#[derive(Clone, Debug)]
pub(crate) struct Authority(Vec<Box<[u8]>>);

impl Authority {
    /// For paths made of `A-Z a-z 0-9 . _ / -` only, which leaves the slash as the one character to encode.
    pub(crate) fn new<'a>(sockets: impl IntoIterator<Item = &'a Path>) -> Self {
        let texts = |socket: &Path| {
            let rooted = socket.to_string_lossy().replace('/', "%2F").into_bytes();
            let bare = rooted.strip_prefix(b"%2F").unwrap_or(&rooted).to_vec();
            [rooted, bare].map(Vec::into_boxed_slice)
        };
        Self(sockets.into_iter().flat_map(texts).collect())
    }

    /// Replaces every occurrence in place.
    fn rewrite(&self, block: &mut [u8]) {
        for text in &self.0 {
            let mut from = 0;
            while let Some(at) = block[from..].windows(text.len()).position(|window| window == &**text) {
                let found = &mut block[from + at..from + at + text.len()];
                found.iter_mut().filter(|b| **b == b'%').for_each(|b| *b = b'-');
                from += at + text.len();
            }
        }
    }
}

/// Where in the stream of frames the next byte belongs.
#[derive(Debug)]
enum State {
    /// Before the first frame; what there is of the preface is in `held`.
    Preface,
    /// At a frame header; what there is of it is in `held`.
    Frame,
    /// In a frame that passes as it is, with so many bytes to go.
    Pass(usize),
    /// In a header frame of that whole length, held back until complete.
    Hold(usize),
    /// Not HTTP/2 at all: somebody else's business.
    Raw,
}

/// The walk over what the client sends.
#[derive(Debug)]
struct Walk {
    authority: Authority,
    state: State,
    held: BytesMut,
    ready: BytesMut,
}

impl Walk {
    /// Takes the next bytes from the client; what may go on is in `ready` afterwards.
    fn take(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            match self.state {
                State::Raw => {
                    self.ready.extend_from_slice(input);
                    return;
                }
                State::Pass(left) => {
                    let n = left.min(input.len());
                    self.ready.extend_from_slice(&input[..n]);
                    input.advance(n);
                    self.state = if n == left { State::Frame } else { State::Pass(left - n) };
                }
                State::Preface => self.hold(&mut input, PREFACE.len()),
                State::Frame => self.hold(&mut input, FRAME_HEADER),
                State::Hold(len) => self.hold(&mut input, len),
            }
        }
    }

    /// Holds bytes back until there are `len`, then decides about them.
    fn hold(&mut self, input: &mut &[u8], len: usize) {
        let n = (len - self.held.len()).min(input.len());
        self.held.extend_from_slice(&input[..n]);
        input.advance(n);
        if self.held.len() == len {
            self.decide();
        }
    }

    fn decide(&mut self) {
        match self.state {
            State::Preface => {
                self.state = if self.held[..] == PREFACE[..] { State::Frame } else { State::Raw };
            }
            State::Frame => {
                let len = usize::from(self.held[0]) << 16 | usize::from(self.held[1]) << 8 | usize::from(self.held[2]);
                if matches!(self.held[3], HEADERS | CONTINUATION) && (1..=MAX_FRAME).contains(&len) {
                    self.state = State::Hold(FRAME_HEADER + len);
                    return;
                }
                self.state = if len == 0 { State::Frame } else { State::Pass(len) };
            }
            State::Hold(_) => {
                self.authority.rewrite(&mut self.held[FRAME_HEADER..]);
                self.state = State::Frame;
            }
            State::Pass(_) | State::Raw => {}
        }
        self.ready.unsplit(self.held.split());
    }

    /// The client sends no more: what was held back goes on, and h2 says what it lacks.
    fn end(&mut self) {
        self.ready.unsplit(self.held.split());
    }
}

/// A connection whose client may be grpcio. Writing goes straight through.
#[derive(Debug)]
pub(crate) struct Repaired<S> {
    inner: S,
    walk: Walk,
    ended: bool,
}

impl<S> Repaired<S> {
    pub(crate) fn new(inner: S, authority: Authority) -> Self {
        let walk = Walk { authority, state: State::Preface, held: BytesMut::new(), ready: BytesMut::new() };
        Self { inner, walk, ended: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Repaired<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.walk.ready.is_empty() && !this.ended {
            let mut chunk = [0_u8; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            match read.filled() {
                [] => {
                    this.ended = true;
                    this.walk.end();
                }
                bytes => this.walk.take(bytes),
            }
        }
        let n = this.walk.ready.len().min(out.remaining());
        out.put_slice(&this.walk.ready[..n]);
        this.walk.ready.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Repaired<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<S> Connected for Repaired<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const SOCKET: &str = "/tmp/gstp-abc/host.sock";
    const SENT: &[u8] = b"tmp%2Fgstp-abc%2Fhost.sock";
    const WANTED: &[u8] = b"tmp-2Fgstp-abc-2Fhost.sock";

    /// A reader that gives the bytes in pieces of the given size.
    struct Pieces(Vec<u8>, usize);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let n = self.1.min(self.0.len()).min(out.remaining());
            let piece: Vec<u8> = self.0.drain(..n).collect();
            out.put_slice(&piece);
            Poll::Ready(Ok(()))
        }
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE.to_vec(), frames.concat()].concat()
    }

    async fn check(input: Vec<u8>, expect: Vec<u8>) {
        for size in [1, 2, 7, 33, 100_000] {
            let mut out = Vec::new();
            let reader = Pieces(input.clone(), size);
            Repaired::new(reader, Authority::new([Path::new(SOCKET)])).read_to_end(&mut out).await.unwrap();
            assert!(out == expect, "in pieces of {size}");
        }
    }

    fn literal(value: &[u8]) -> Vec<u8> {
        [&[0x41, u8::try_from(value.len()).unwrap()], value].concat()
    }

    #[tokio::test]
    async fn header_frames_are_repaired_however_they_arrive() {
        let sent = [frame(4, 0, &[]), frame(1, 4, &literal(SENT)), frame(0, 1, b"body"), frame(9, 4, &literal(SENT))];
        let wanted =
            [frame(4, 0, &[]), frame(1, 4, &literal(WANTED)), frame(0, 1, b"body"), frame(9, 4, &literal(WANTED))];
        check(stream(&sent), stream(&wanted)).await;
    }

    #[tokio::test]
    async fn padding_and_priority_stay_as_they_are() {
        let block = |text: &[u8]| [&[3, 0x80, 0, 0, 0, 16][..], &literal(text), &[0, 0, 0]].concat();
        check(stream(&[frame(1, 0x2c, &block(SENT))]), stream(&[frame(1, 0x2c, &block(WANTED))])).await;
    }

    #[tokio::test]
    async fn a_leading_slash_is_covered_too() {
        let (sent, wanted) = ([b"%2F", SENT].concat(), [b"-2F", WANTED].concat());
        check(stream(&[frame(1, 4, &literal(&sent))]), stream(&[frame(1, 4, &literal(&wanted))])).await;
    }

    #[tokio::test]
    async fn everything_else_passes_untouched() {
        let big = frame(0, 0, &[b'%'; 70_000]);
        let untouched = stream(&[
            frame(0, 0, SENT),
            frame(1, 4, &literal(b"localhost")),
            frame(1, 4, b"tmp%2Fgstp-abd%2Fhost.sock"),
            frame(1, 0, &vec![0; MAX_FRAME + 1]),
            big,
        ]);
        check(untouched.clone(), untouched).await;
        let not_http2 = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), frame(1, 4, SENT)].concat();
        check(not_http2.clone(), not_http2).await;
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_loses_nothing() {
        for keep in [3, 24, 29, 40] {
            let mut cut = stream(&[frame(1, 4, &literal(SENT))]);
            cut.truncate(keep);
            check(cut.clone(), cut).await;
        }
    }
}
