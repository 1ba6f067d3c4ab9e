use crate::fixture::{Setup, call, example, runtime};
use std::time::Instant;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tmp_big_guests() {
    for name in ["echo-python", "echo-typescript"] {
        let t = Instant::now();
        let app = Setup::of(example(name)).launch_on(runtime()).await;
        println!("{name} launch {:?}", t.elapsed());
        match app {
            Ok(app) => {
                for _ in 0..5 {
                    let t = Instant::now();
                    let r = app.executor.execute(call("echo", r#"{"n":9007199254740993}"#)).await;
                    println!("  {:?} {r:?}", t.elapsed());
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
            Err(e) => println!("{e}"),
        }
        let t = Instant::now();
        let app = Setup::of(example(name)).launch_on(runtime()).await;
        println!("{name} launch cached {:?} {}", t.elapsed(), app.is_ok());
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tmp_speed() {
    for standby in [0, 2, 4] {
        let app = Setup::of(example("echo")).limits(|l| l.standby = standby).launch().await;
        let mut times = Vec::new();
        let request = call("echo", r#"{"a":1}"#);
        for _ in 0..2000 {
            let t = Instant::now();
            app.executor.execute(request.clone()).await.unwrap();
            times.push(t.elapsed());
        }
        times.sort();
        println!("standby {standby}: p50 {:?} p99 {:?}", times[1000], times[1980]);
        let t = Instant::now();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let app = app.clone();
                let r = request.clone();
                tokio::spawn(async move {
                    for _ in 0..500 {
                        app.executor.execute(r.clone()).await.unwrap();
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        println!("   {:.0}/s", 4000.0 / t.elapsed().as_secs_f64());
    }
    let t = Instant::now();
    let apps = futures::future::join_all((0..40).map(|_| Setup::of(example("echo")).launch_on(runtime()))).await;
    println!("40 launches {:?} {}", t.elapsed(), apps.iter().all(|a| a.is_ok()));
}
