//! Stage 4, when the machine is short of something for a moment: the start is tried again, and is never a weaker one.

use gestalt_confine::ConfineError;
use gestalt_core::AppName;
use gestalt_runtime_process::ProcessError;
use std::future::Future;
use std::time::Duration;

/// Starts of one app at most. A machine that is still short of it after all of them is so for longer than a moment.
const TRIES: u32 = 5;

/// The first pause between two of them; each is twice as long as the one before.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Starts an app, and again when what it failed for may pass.
///
/// # Errors
/// What the last start failed for.
pub(super) async fn patiently<T, F>(app: &AppName, mut pause: Duration, start: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    for _ in 1..TRIES {
        match start().await {
            Err(error) if may_pass(&error) => {
                tracing::warn!(%app, reason = format!("{error:#}"), ?pause, "app is not started yet, and is tried again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
    start().await
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<ConfineError>().is_some_and(ConfineError::is_passing)
            || cause.downcast_ref::<ProcessError>().is_some_and(ProcessError::is_passing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use gestalt_runtime_process::Output;
    use std::cell::Cell;

    /// Fails so many times, each for the reason given, and says how often it was tried.
    async fn tried(failures: u32, reason: fn() -> anyhow::Error) -> (bool, u32) {
        let (app, tries) = (AppName::parse("app").unwrap(), Cell::new(0));
        let started = patiently(&app, Duration::ZERO, || async {
            tries.set(tries.get() + 1);
            if tries.get() <= failures { Err(reason()).context("asking the app for its catalog") } else { Ok(()) }
        });
        (started.await.is_ok(), tries.get())
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_nothing_else_is() {
        let passing: [fn() -> anyhow::Error; 2] = [
            || ConfineError::Passing("fork: EAGAIN".into()).into(),
            || ProcessError::Sandbox { reason: "x".into(), is_passing: true, output: Output::default() }.into(),
        ];
        for reason in passing {
            assert_eq!(tried(0, reason).await, (true, 1));
            assert_eq!(tried(2, reason).await, (true, 3));
            assert_eq!(tried(9, reason).await, (false, TRIES));
        }
        let lasting: [fn() -> anyhow::Error; 3] = [
            || ConfineError::Lacking("namespaces".into()).into(),
            || ProcessError::Sandbox { reason: "x".into(), is_passing: false, output: Output::default() }.into(),
            || anyhow::anyhow!("no such file"),
        ];
        for reason in lasting {
            assert_eq!(tried(2, reason).await, (false, 1));
        }
    }
}
