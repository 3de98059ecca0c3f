//! The harness against itself: what it says of the daemon is worth what it is itself.

use std::process::Command;

use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, Deadline, Dice, Ending, FifoReader, FifoWriter, LineChecker, Lines, Numbered,
    PATIENCE, Pattern, Shown, Taken, Tally, Warden, came_exactly_once, check_law, check_records, each_once, make_fifo,
    output_of, panics_in, runs, stories, try_runs, until,
};

stories!(
    a_pattern_is_the_same_however_it_is_cut,
    a_checker_says_what_is_lost_doubled_or_foreign,
    the_law_is_broken_by_one_byte,
    records_at_rest_are_written_or_dropped,
    a_tally_knows_every_record_however_it_is_cut,
    a_tally_says_what_is_torn_or_glued,
    what_came_is_told_in_runs,
    a_record_that_is_lost_or_doubled_is_told,
    panics_are_found_in_a_log,
    lines_are_the_same_however_they_are_cut,
    a_line_checker_says_what_is_torn_lost_doubled_or_mixed,
    lines_cross_a_fifo,
    the_peer_writes_and_checks_lines,
    fifo_peers_see_bytes_then_the_end,
    a_fifo_without_writer_is_not_at_its_end,
    the_peer_writes_waits_and_exits,
    the_peer_checks_what_it_reads,
    the_peer_records_by_splice,
    the_peer_meets_signals,
    a_grandchild_keeps_the_pipe,
    an_empty_daemon_passes_every_check,
    the_warden_tells_how_it_ended,
    the_warden_finds_what_was_left,
    the_warden_takes_everything_with_it,
);

/// A shell pipeline with `$PEER` in it.
fn shell(script: &str) -> Command {
    let exe = std::env::current_exe().expect("the path of this executable");
    let mut command = Command::new("sh");
    command.args(["-c", &script.replace("$PEER", &format!("'{}' @peer", exe.display()))]);
    command
}

fn a_pattern_is_the_same_however_it_is_cut() {
    let pattern = Pattern::new(3);
    let whole = pattern.bytes(0, 10_000);
    let mut pieces = Vec::new();
    for length in [1, 7, 8, 9, 4096, 5879] {
        pieces.extend(pattern.bytes(pieces.len() as u64, length));
    }
    assert_eq!(pieces, whole);
    assert_ne!(Pattern::new(4).bytes(0, 64), whole[..64]);
}

fn a_checker_says_what_is_lost_doubled_or_foreign() {
    let pattern = Pattern::new(5);
    let departure = |piece: &[u8]| {
        let mut checker = Checker::new(pattern);
        checker.feed(&pattern.bytes(0, 1000));
        checker.try_feed(piece).expect_err("a piece that does not belong there")
    };
    let lost = departure(&pattern.bytes(1100, 50));
    assert!(
        lost.contains("at offset 1000") && lost.contains("100 bytes are lost"),
        "{lost}"
    );
    let doubled = departure(&pattern.bytes(900, 50));
    assert!(doubled.contains("100 bytes back, doubled"), "{doubled}");
    let mut torn = pattern.bytes(1000, 50);
    torn[20] ^= 1;
    assert!(departure(&torn).contains("at offset 1020"));
    assert!(departure(&[0; 32]).contains("foreign"));
}

fn a_tally_knows_every_record_however_it_is_cut() {
    let shape = Numbered::lines(8, 3000);
    let mut all = Vec::new();
    (0..200).for_each(|number| all.extend(shape.record(number)));
    assert_eq!(all.len() as u64, shape.length_of(0..200));
    let lengths: Vec<usize> = (0..200).map(|number| shape.length(number)).collect();
    assert!(lengths.iter().all(|length| (8..=3000).contains(length)) && lengths[0] != lengths[1]);
    for size in [1, 7, 4096, all.len()] {
        let mut tally = Tally::new(shape);
        all.chunks(size).for_each(|piece| tally.feed(piece));
        assert_eq!(tally.bytes(), all.len() as u64);
        assert_eq!(tally.finish(), (0..200).collect::<Vec<u64>>());
    }
    let with_nul = shape.ended_by(0);
    assert!(with_nul.record(7).ends_with(&[0]) && !with_nul.record(7).contains(&b'\n'));
}

fn a_tally_says_what_is_torn_or_glued() {
    let shape = Numbered::lines(100, 200);
    let fault = |bytes: &[u8]| Tally::new(shape).try_feed(bytes).expect_err("a record that is none");
    let (one, two) = (shape.record(1), shape.record(2));
    let torn = [&one[..50], b"\n"].concat();
    assert!(fault(&torn).contains("record 1 is another's from byte 50"));
    let glued = [&one[..one.len() - 1], two.as_slice()].concat();
    assert!(fault(&glued).contains("record 1 is another's from byte"));
    assert!(fault(&one[3..]).contains("no record begins like this"));
    assert!(fault(b"\n").contains("no record begins like this"));
    let mut tally = Tally::new(shape);
    tally.feed(&one);
    let after = tally.try_feed(&two[10..]).expect_err("the end of a record");
    assert!(after.contains("after record Some(1)"), "{after}");
    let mut tally = Tally::new(shape);
    tally.feed(&one[..30]);
    let unfinished = tally.try_finish().expect_err("the end in the middle of a record");
    assert!(unfinished.contains("after 30 bytes of a record"), "{unfinished}");
}

fn what_came_is_told_in_runs() {
    assert_eq!(runs(&[]), []);
    assert_eq!(runs(&[0, 1, 2, 7, 8, 10]), [0..3, 7..9, 10..11]);
    for late in [&[0, 1, 1][..], &[0, 5, 4], &[3, 0]] {
        assert!(try_runs(late).is_err(), "{late:?}");
    }
}

fn a_record_that_is_lost_or_doubled_is_told() {
    came_exactly_once(&[vec![0, 2], vec![3, 1]], 0..4);
    let fault = |numbers: &[u64]| each_once(numbers.to_vec(), &(0..4)).expect_err("not each of them once");
    assert!(fault(&[0, 2]).contains("lost are 2 [1, 3]"));
    assert!(fault(&[0, 1, 2, 3, 3]).contains("doubled are 1 [3]"));
    assert!(fault(&[0, 1, 2, 4]).contains("lost are 1 [3]"));
    assert!(fault(&[0, 1, 2, 3, 4]).contains("came 5"));
}

fn the_law_is_broken_by_one_byte() {
    let route = |bytes: u64, queued: u64, dropped: u64, partial: u64| {
        Shown(json!({
            "acceptedBytes": 100, "retiredBytes": 0, "removedSourceBytes": 0, "distribution": "broadcast",
            "sources": [{ "bytes": 100, "partialBytes": partial }],
            "destinations": [{
                "name": "null", "bytes": bytes, "queuedBytes": queued, "droppedBytes": dropped, "fromBytes": 0,
            }],
        }))
    };
    assert_eq!(check_law(&route(50, 30, 20, 0)), Ok(()));
    assert!(check_law(&route(50, 30, 19, 0)).is_err());
    assert!(check_law(&route(51, 30, 20, 0)).is_err());
    assert!(check_law(&route(50, 30, 20, 1)).is_err());
}

fn records_at_rest_are_written_or_dropped() {
    let route = |sources: [u64; 2], records: u64, dropped: u64| {
        Shown(json!({
            "framing": "lines",
            "acceptedRecords": 9,
            "sources": [{ "records": sources[0] }, { "records": sources[1] }],
            "destinations": [
                { "name": "fifo:/x", "fromBytes": 0, "records": records, "droppedRecords": dropped },
                { "name": "fifo:/y", "fromBytes": 0, "records": 9 },
                { "name": "fifo:/late", "fromBytes": 1, "records": 1 },
            ],
        }))
    };
    assert_eq!(check_records(&route([4, 5], 7, 2)), Ok(()));
    assert!(check_records(&route([4, 4], 7, 2)).is_err());
    assert!(check_records(&route([4, 5], 7, 1)).is_err());
    assert!(check_records(&route([4, 5], 8, 2)).is_err());
    assert!(check_records(&Shown(json!({ "framing": "lines" }))).is_err());
    assert_eq!(check_records(&Shown(json!({ "framing": "bytes" }))), Ok(()));
}

fn lines_are_the_same_however_they_are_cut() {
    let lines = Lines::new("x", 200 * 1024, 7);
    let whole = lines.bytes(0, 200);
    let (mut cut, mut pieces) = (Vec::new(), 0);
    let put = |piece: &[u8]| {
        cut.extend_from_slice(piece);
        pieces += 1;
        Ok::<(), String>(())
    };
    lines.write(200, put).expect("no error");
    assert!(cut == whole, "{} bytes instead of {}", cut.len(), whole.len());
    assert!(pieces > 50, "{pieces} pieces");
    let mut checker = LineChecker::new();
    let mut dice = Dice::new(1);
    let mut rest = &whole[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(dice.cut().min(rest.len()));
        checker.feed(piece);
        rest = later;
    }
    assert_eq!((checker.count("x"), checker.offset()), (200, whole.len() as u64));
    assert_eq!(checker.ended()["x"], 200);
    // Short ones and long ones, and every byte in them but their end.
    let lengths: Vec<usize> = (0..200).map(|number| lines.line(number).len() - 1).collect();
    assert!(lengths.iter().any(|length| *length > 100_000) && lengths.iter().any(|length| *length < 100));
    assert!(lengths.iter().all(|length| *length <= 200 * 1024));
    assert!((0..=255).all(|byte| whole.contains(&byte)));
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 200);
    let nul = Lines::new("x", 5_000, 7).ended_by(0).bytes(0, 200);
    assert_eq!(nul.iter().filter(|byte| **byte == 0).count(), 200);
    let mut checker = LineChecker::ended_by(0);
    checker.feed(&nul);
    assert_eq!(checker.ended()["x"], 200);
}

fn a_line_checker_says_what_is_torn_lost_doubled_or_mixed() {
    let (x, y) = (Lines::new("x", 2_000, 1), Lines::new("y", 2_000, 2));
    // One that has a filling.
    let long = (1..).find(|number| x.line(*number).len() > 500).expect("a long line");
    let refused = |pieces: &[&[u8]]| {
        let mut checker = LineChecker::new();
        checker.feed(&y.bytes(0, 3));
        checker.feed(&x.bytes(0, long));
        let whole: Vec<u8> = pieces.concat();
        let problem = checker.try_feed(&whole).expect_err("lines that nobody has written so");
        assert!(
            problem.contains(&format!("at byte {}:", y.bytes(0, 3).len() + x.bytes(0, long).len())),
            "{problem}"
        );
        problem
    };
    let line = x.line(long);
    let (begin, rest) = line.split_at(300);
    let mixed = refused(&[begin, &y.line(3), rest]);
    assert!(mixed.contains("departs at byte 300"), "{mixed}");
    let torn = refused(&[begin, b"\n", rest]);
    assert!(torn.contains("has 300 bytes instead of"), "{torn}");
    assert!(refused(&[&begin[..200], rest]).contains("torn"));
    assert!(refused(&[&line[..line.len() - 1], &x.line(long + 1)]).contains("torn"));
    let lost = refused(&[&x.line(long + 1)]);
    assert!(
        lost.contains(&format!("line {} of x where its line {long} belongs", long + 1)),
        "{lost}"
    );
    let doubled = refused(&[&x.line(long - 1), &line]);
    assert!(
        doubled.contains(&format!("line {} of x where its line {long} belongs", long - 1)),
        "{doubled}"
    );
    assert!(refused(&[rest]).contains("that no line begins with"));
    assert!(refused(&[b"\n"]).contains("that no line begins with"));
    // The other's lines may stand between, whole.
    let mut checker = LineChecker::new();
    checker.feed(&[x.line(0), y.line(0), y.line(1), x.line(1)].concat());
    checker.feed(&x.line(2)[..5]);
    assert_eq!((checker.count("x"), checker.count("y"), checker.count("z")), (2, 2, 0));
    assert!(checker.is_within_a_line());
}

/// The writer and the checker of the stories of records, with the kernel alone between them.
fn lines_cross_a_fifo() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("f");
    make_fifo(&path);
    let mut reader = FifoReader::open(&path);
    let writer = Lines::new("x", 200 * 1024, 3).in_background(&path, 300);
    let mut checker = LineChecker::new();
    reader.check_lines_to_end(&mut checker);
    writer.done();
    assert_eq!(checker.ended()["x"], 300);
}

fn the_peer_writes_and_checks_lines() {
    output_of(&mut shell("$PEER 'lines 300 100000 1 x' | cat | $PEER check-lines")).expect_code(0);
    output_of(&mut shell(
        "{ $PEER 'lines 30 9000 1 x'; $PEER 'lines 30 9000 1 y'; } | $PEER check-lines",
    ))
    .expect_code(0);
    let torn = "{ $PEER 'lines 30 9000 1 x'; $PEER 'lines 30 9000 1 x'; } | $PEER check-lines";
    let torn = output_of(&mut shell(torn)).expect_code(65);
    assert!(
        torn.stderr.contains("line 0 of x where its line 30 belongs"),
        "{torn:?}"
    );
    output_of(&mut shell("$PEER 'lines 3 10 1' | head -c 10 | $PEER check-lines")).expect_code(65);
    // Each stream for itself is whole; together they are not, since each line of the one is begun within one of the other.
    output_of(&mut shell(
        "$PEER 'lines-both 300 9000 1' 2> /dev/null | $PEER check-lines",
    ))
    .expect_code(0);
    output_of(&mut shell(
        "$PEER 'lines-both 300 9000 1' 2>&1 > /dev/null | $PEER check-lines",
    ))
    .expect_code(0);
    output_of(&mut shell("$PEER 'lines-both 300 9000 1' 2>&1 | $PEER check-lines")).expect_code(65);
}

fn panics_are_found_in_a_log() {
    let log = "INFO fine\nthread 'relay-1' panicked at src/relay/mod.rs:3:5:\nindex out of bounds\nINFO on\n";
    assert_eq!(panics_in(log).len(), 1);
    assert!(panics_in("INFO nobody panics here\n").is_empty());
}

fn fifo_peers_see_bytes_then_the_end() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("f");
    make_fifo(&path);
    let mut reader = FifoReader::open(&path);
    let writer = FifoWriter::in_background(&path, Pattern::new(1), 1_000_000);
    let mut checker = Checker::new(Pattern::new(1));
    assert_eq!(reader.check_to_end(&mut checker), 1_000_000);
    writer.done();
    assert_eq!(reader.try_read(10), Taken::End);
    // A blocking open comes back with the next writer.
    let second = path.clone();
    let (sender, opened) = std::sync::mpsc::channel();
    let blocking = Background::run(move || {
        let mut reader = FifoReader::open_blocking(second);
        sender.send(()).expect("somebody who waits for it");
        reader.read_to_end()
    });
    drop(reader);
    let mut writer = FifoWriter::open(&path);
    writer.write_all(b"again");
    // A child that another story forks just now may have held the old reader open: the new one must have the bytes.
    opened.recv_timeout(PATIENCE).expect("an open that returns");
    drop(writer);
    assert_eq!(blocking.done(), b"again");
}

fn a_fifo_without_writer_is_not_at_its_end() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("f");
    make_fifo(&path);
    let mut reader = FifoReader::open(&path);
    assert_eq!(reader.try_read(10), Taken::Nothing);
    let mut writer = FifoWriter::open(&path);
    assert_eq!(reader.try_read(10), Taken::Nothing);
    let capacity = writer.write_until(Pattern::new(1), || true);
    assert_eq!(writer.try_write(b"x").expect("a full FIFO"), 0);
    reader.check_up_to(&mut Checker::new(Pattern::new(1)), capacity);
    assert_eq!(reader.try_read(10), Taken::Nothing);
    drop(writer);
    assert_eq!(reader.try_read(10), Taken::End);
}

fn the_peer_writes_waits_and_exits() {
    let home = tempfile::tempdir().expect("a directory");
    let gate = home.path().join("gate");
    make_fifo(&gate);
    let script = format!(
        "$PEER 'say hello' 'await {}' 'text bye' 'complain oh' 'exit 7'",
        gate.display()
    );
    let opener = Background::run(move || FifoWriter::open(gate).write_all(b"x"));
    let finished = output_of(&mut shell(&script)).expect_code(7);
    opener.done();
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("hello\nbye", "oh\n")
    );
    output_of(&mut shell("$PEER 'no such step'")).expect_code(99);
    output_of(&mut shell("$PEER 'close 1' 'exit 4'")).expect_code(4);
}

fn the_peer_checks_what_it_reads() {
    output_of(&mut shell(
        "$PEER 'write 300000' 'write 5' | $PEER 'check 1' 'check-end 300004'",
    ))
    .expect_code(0);
    output_of(&mut shell("$PEER 'write 300000 2' | $PEER 'check 300000'")).expect_code(65);
    output_of(&mut shell("$PEER 'write 10' | $PEER 'check-end 9'")).expect_code(65);
    output_of(&mut shell("$PEER 'write 200000' | $PEER cat | $PEER 'read 100' 'sink'")).expect_code(0);
    // Nobody reads: EPIPE.
    let finished = output_of(&mut shell("{ $PEER 'write 10000000'; echo $? >&2; } | $PEER 'exit 0'"));
    assert_eq!(finished.stderr, "32\n");
}

fn the_peer_records_by_splice() {
    let home = tempfile::tempdir().expect("a directory");
    let record = home.path().join("record");
    let path = record.display();
    let script = format!("$PEER 'write 100000' | {{ $PEER 'record-some 40000 {path}'; $PEER 'record {path}'; }}");
    output_of(&mut shell(&script)).expect_code(0);
    Checker::new(Pattern::new(1)).feed(&std::fs::read(record).expect("the record"));
}

fn the_peer_meets_signals() {
    output_of(&mut shell("$PEER 'ignore SIGTERM' 'die SIGTERM' 'exit 3'")).expect_code(3);
    output_of(&mut shell("$PEER 'on SIGTERM exit 9' 'die SIGTERM' hold")).expect_code(9);
    output_of(&mut shell("exec $PEER 'die SIGKILL'")).expect_code(137);
    let home = tempfile::tempdir().expect("a directory");
    let told = home.path().join("told");
    let script = format!(
        "$PEER 'stream-until SIGTERM {}' > /dev/null & kill $!; wait $!; exit $?",
        told.display()
    );
    let finished = output_of(&mut shell(&script));
    // The signal may come before its handler; then it is the default action that ends the peer.
    assert!(finished.code == 143 || told.exists(), "{finished:?}");
}

fn a_grandchild_keeps_the_pipe() {
    let finished = output_of(&mut shell(
        "$PEER 'say child' 'grandchild drip 3 1 20 | say grandchild' | wc -c",
    ));
    assert_eq!(finished.stdout.trim(), (6 + 3 + 11).to_string());
}

/// Started, answered, stopped, and nothing left: by itself, by its drop, and killed.
fn an_empty_daemon_passes_every_check() {
    Daemon::start("").finish();
    drop(Daemon::start("[daemon]\nlog-level = \"debug\"\n"));
    let place = Daemon::start("").killed();
    assert!(place.config().exists());
}

/// A shell script in the daemon's place.
fn watched(home: &std::path::Path, script: &str) -> Warden {
    let command = ["sh", "-c", script, &home.display().to_string()].map(str::to_owned);
    Warden::start(&home.join("log"), &command, &[])
}

fn ending(warden: &mut Warden) -> Ending {
    warden.ending(&Deadline::within(PATIENCE)).expect("an end")
}

fn the_warden_tells_how_it_ended() {
    let home = tempfile::tempdir().expect("a directory");
    let exit = ending(&mut watched(home.path(), "echo said >&2; exit 7"));
    assert_eq!((exit.status.as_str(), exit.left.len()), ("code 7", 0));
    assert_eq!(
        std::fs::read_to_string(home.path().join("log")).expect("the log"),
        "said\n"
    );
    assert_eq!(ending(&mut watched(home.path(), "kill -9 $$")).status, "signal SIGKILL");
    let mut lives = watched(home.path(), "read x");
    assert_eq!(ending(&mut lives).status, "code 1", "stdin is /dev/null");
}

fn the_warden_finds_what_was_left() {
    let home = tempfile::tempdir().expect("a directory");
    // A leader of a group that nobody has reaped, and one that was forked twice and ends within the grace.
    let left = ending(&mut watched(home.path(), "setsid sleep 60 & (sleep 0.1 &); sleep 0.2"));
    assert_eq!(left.status, "code 0");
    assert!(left.left.iter().any(|one| one.contains("sleep 60")), "{left:?}");
    assert!(!left.left.iter().any(|one| one.contains("sleep 0.1")), "{left:?}");
}

fn the_warden_takes_everything_with_it() {
    let home = tempfile::tempdir().expect("a directory");
    let script = "(setsid sh -c 'echo $$ > $0/pid; exec sleep 1000' $0 &); exec sleep 1000";
    let warden = watched(home.path(), script);
    let pid = until(
        || {
            std::fs::read_to_string(home.path().join("pid"))
                .ok()
                .filter(|text| text.ends_with('\n'))
        },
        || "the orphan has not begun".to_owned(),
    );
    drop(warden);
    let orphan = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    until(
        || (!orphan.exists()).then_some(()),
        || format!("{} lives on", orphan.display()),
    );
}
