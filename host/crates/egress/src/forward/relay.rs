//! Bytes both ways, counted and timed.

use crate::traffic::Traffic;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until};

/// Bytes moved at once, each way.
const CHUNK: usize = 16 << 10;

/// What a tunnel may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Time without a byte in either direction.
    pub(super) idle: Duration,
    /// Bytes from the near end to the far one.
    pub(super) sent: u64,
    /// Bytes the other way.
    pub(super) received: u64,
}

/// What ended a tunnel that neither end had finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One of the ends went away.
    Closed,
    /// No byte for too long.
    Idle,
    /// Too long altogether.
    Total,
    /// Too many bytes to the far end.
    Sent,
    /// Too many bytes from it.
    Received,
}

/// Carries bytes between the ends until both have finished. What the far end moves is counted in `traffic`, by itself.
pub(super) async fn run(
    near: &mut (impl AsyncRead + AsyncWrite + Unpin),
    far: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bounds: Bounds,
    traffic: &Traffic,
) -> Result<(), End> {
    let (near_out, near_in) = split(near);
    let (far_out, far_in) = split(far);
    let both = async {
        tokio::try_join!(
            pump(near_out, far_in, |next| if traffic.sent() + next > bounds.sent { Err(End::Sent) } else { Ok(()) }),
            // Counted when it was read.
            pump(far_out, near_in, |_| if traffic.received() > bounds.received { Err(End::Received) } else { Ok(()) }),
        )
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        end = idle(bounds.idle, traffic) => Err(end),
    }
}

/// One way, up to its end, which is passed on. `may_pass` is asked about each chunk by its length.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    may_pass: impl Fn(u64) -> Result<(), End>,
) -> Result<(), End> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) => return to.shutdown().await.map_err(|_| End::Closed),
            Ok(length) => {
                may_pass(length as u64)?;
                to.write_all(&chunk[..length]).await.map_err(|_| End::Closed)?;
            }
            Err(_) => return Err(End::Closed),
        }
    }
}

/// Ends once nothing was counted for so long.
async fn idle(patience: Duration, traffic: &Traffic) -> End {
    let counted = || (traffic.sent(), traffic.received());
    loop {
        let before = counted();
        sleep_until(Instant::now() + patience).await;
        if counted() == before {
            return End::Idle;
        }
    }
}
