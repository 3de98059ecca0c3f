use super::*;

const NOW: u64 = 100_000_000;

fn paused_route() -> Route {
    Route {
        name: "ingest".into(),
        state: "paused".into(),
        pause_reasons: vec!["backpressure".into(), "no_reader".into()],
        paused_since_usec: Some(NOW - 12_000_000),
        path: "copy".into(),
        framing: "lines".into(),
        distribution: "broadcast".into(),
        accepted_bytes: 1 << 20,
        accepted_records: Some(9),
        sources: vec![Source {
            name: "fifo:/a".into(),
            state: "open".into(),
            peer_hung_up: true,
            bytes: 1 << 20,
            kernel_bytes: Some(4096),
            opens: 3,
            ..Source::default()
        }],
        destinations: vec![Destination {
            name: "process:gzip.stdin".into(),
            state: "open".into(),
            bytes: 983_040,
            queued_bytes: 65536,
            high_watermark: 65536,
            low_watermark: 16384,
            when_full: "block".into(),
            opens: 1,
            trouble: Some("no\u{7} space".into()),
            ..Destination::default()
        }],
        ..Route::default()
    }
}

#[test]
fn a_paused_route_says_why_and_since_when() {
    assert_eq!(
        routes(&[paused_route()], NOW),
        "ROUTE   PATH  ACCEPTED  QUEUED  DROPPED  STATE\n\
         ingest  copy     1 MiB  64 KiB      0 B  paused: backpressure, no reader since 12 s\n"
    );
    assert_eq!(
        route(&paused_route(), &chain(), NOW),
        "route ingest: paused: backpressure, no reader since 12 s
  why: archive\\u{7} is frozen
  lines, broadcast, path copy
  accepted 1 MiB (9 records), paused 0 times for 0 ms
  from
    fifo:/a: open, its peer has hung up; read 1 MiB; kernel 4 KiB; opened 3 times
  to
    process:gzip.stdin: open; wrote 960 KiB; queued 64 KiB of 64 KiB (low 16 KiB), block when full; \
     trouble: no\\u{7} space
"
    );
}

fn chain() -> [Cause; 2] {
    [
        Cause {
            subject: "route:ingest".into(),
            text: "ingest is paused: archive.stdin is full (64 KiB)".into(),
            since_usec: Some(NOW - 12_000_000),
        },
        Cause {
            subject: "process:archive".into(),
            text: "archive\u{7} is frozen".into(),
            since_usec: None,
        },
    ]
}

#[test]
fn causes_are_told_one_a_line_down_to_the_root() {
    assert_eq!(
        causes(&chain(), NOW),
        "ingest is paused since 12 s: archive.stdin is full (64 KiB)\n→ archive\\u{7} is frozen\n"
    );
}

#[test]
fn a_process_that_backs_off_says_when_it_is_tried_next() {
    let process = Process {
        name: "web@2".into(),
        state: "backing_off".into(),
        restarts: 4,
        last_exit: Some(LastExit {
            code: Some(1),
            text: "exit 1".into(),
            ..LastExit::default()
        }),
        next_start_in_usec: Some(3_200_000),
        wanted: "up".into(),
        ..Process::default()
    };
    assert_eq!(
        process_state(&process),
        "backing off: next start in 3.2 s; last exit: exit 1"
    );
    assert_eq!(
        super::process(&process, NOW),
        "process web@2: backing off: next start in 3.2 s; last exit: exit 1\n  wanted up, restarted 4 times\n"
    );
    assert_eq!(
        processes(&[process], NOW),
        "PROCESS  PID  RESTARTS  UP  STATE\n\
         web@2      -         4   -  backing off: next start in 3.2 s; last exit: exit 1\n"
    );
}

#[test]
fn nothing_configured_is_said() {
    assert_eq!(routes(&[], NOW), "no routes\n");
    assert_eq!(processes(&[], NOW), "no processes\n");
}
