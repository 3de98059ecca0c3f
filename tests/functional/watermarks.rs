//! Watermarks to the byte, on the copy path, where the queue is the daemon's own.

use crate::support::{Checker, Daemon, FifoReader, FifoWriter, Pattern, Place, Shown, Taken, sluiced, stories};

stories!(
    sixty_four_kib_and_one_byte,
    a_destination_has_its_own_watermarks,
    one_watermark_sets_the_other,
    reversed_watermarks_are_refused_with_both_values,
    a_negative_watermark_is_refused,
);

const KIB: u64 = 1024;

/// A route whose destination's pipe is full and whose queue can be filled to the byte.
struct Filled {
    daemon: Daemon,
    reader: FifoReader,
    writer: FifoWriter,
    pattern: Pattern,
    /// What the destination's pipe holds when it is full.
    capacity: u64,
}

impl Filled {
    /// Pages only go in, so that the destination's pipe is full to the last byte when the first one is queued.
    fn with(settings: &str) -> Filled {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = {{ fifo = \"out\" {settings} }}\npath = \"copy\"\n{}",
            Daemon::MARKER
        ));
        let reader = FifoReader::open(daemon.fifo("out"));
        let mut filled = Filled {
            writer: FifoWriter::open(daemon.fifo("in")),
            reader,
            daemon,
            pattern: Pattern::new(9),
            capacity: 0,
        };
        filled.daemon.wait_for("route.a", "flowing");
        while filled.push(4096).destination(0).int("queuedBytes") == 0 || filled.queued() == 0 {}
        filled.capacity = filled.daemon.route("a").destination(0).int("bytes");
        filled
    }

    /// Writes, and waits until the daemon has taken it.
    fn push(&mut self, bytes: u64) -> Shown {
        self.writer.write_pattern(self.pattern, bytes);
        self.daemon.wait_accepted("a", self.writer.written())
    }

    fn queued(&self) -> u64 {
        self.daemon.route("a").destination(0).int("queuedBytes")
    }

    /// Fills the queue to exactly this.
    fn fill_to(&mut self, queued: u64) -> Shown {
        let more = queued - self.queued();
        let route = self.push(more);
        assert_eq!(route.destination(0).int("queuedBytes"), queued, "{route}");
        route
    }
}

fn is_open(route: &Shown) -> bool {
    route.state() == "flowing" && route.source(0).flag("isReading") && route.reasons().is_empty()
}

/// CPython test_asyncio (write limits 64 KiB and a quarter of it): exactly high does not pause, one byte more does,
/// exactly low resumes, once.
fn sixty_four_kib_and_one_byte() {
    let mut filled = Filled::with("");
    let destination = filled.daemon.route("a").destination(0);
    assert_eq!(
        (destination.int("highWatermark"), destination.int("lowWatermark")),
        (64 * KIB, 16 * KIB)
    );
    let route = filled.fill_to(64 * KIB);
    assert!(is_open(&route), "exactly at the high watermark: {route}");
    filled.push(1);
    filled
        .daemon
        .wait_until("route.a", "paused", |route| route.paused_only_for("backpressure"));
    // More stays where it is.
    let accepted = filled.writer.written();
    filled.writer.write_pattern(filled.pattern, 100);
    filled.daemon.marker();
    let route = filled.daemon.route("a");
    assert_eq!(route.int("acceptedBytes"), accepted, "{route}");
    assert!(!route.source(0).flag("isReading"), "{route}");
    drain_to_low(&mut filled, accepted);
    // Those hundred come in after it, and do not pause it again.
    let route = filled.daemon.wait_accepted("a", accepted + 100);
    assert!(is_open(&route), "{route}");
    assert!(route.int("pauses") <= 1, "{route}");
}

/// Reads page by page: paused as long as the queue is above low, open as soon as it is not.
fn drain_to_low(filled: &mut Filled, accepted: u64) {
    let mut checker = Checker::new(filled.pattern);
    let mut above_low = 0;
    loop {
        let upto = checker.offset() + 4096;
        filled.reader.check_up_to(&mut checker, upto);
        let expected = filled.daemon.wait_until("route.a", "a page further", |route| {
            let destination = route.destination(0);
            let in_pipe = destination.int("bytes") - checker.offset();
            // The pipe is full again, or there is no more to fill it with.
            in_pipe >= filled.capacity || destination.int("queuedBytes") < 4096 || is_open(route)
        });
        let queued = expected.destination(0).int("queuedBytes");
        if is_open(&expected) {
            // It may have read those hundred bytes that waited by now.
            assert!(queued <= 16 * KIB + 100, "resumed above the low watermark: {expected}");
            break;
        }
        assert!(queued > 0 && expected.int("acceptedBytes") == accepted, "{expected}");
        if queued > 16 * KIB {
            above_low += 1;
        } else {
            let open = filled
                .daemon
                .wait_until("route.a", "open at the low watermark", is_open);
            assert!(open.destination(0).int("queuedBytes") <= 16 * KIB + 100);
            break;
        }
    }
    assert!(
        above_low >= 8,
        "it went down page by page, and was seen {above_low} times above low"
    );
}

/// A destination's own watermarks override the route's.
fn a_destination_has_its_own_watermarks() {
    let mut filled = Filled::with(", high-watermark = \"256KiB\", low-watermark = 1");
    let destination = filled.daemon.route("a").destination(0);
    assert_eq!(
        (destination.int("highWatermark"), destination.int("lowWatermark")),
        (256 * KIB, 1)
    );
    let route = filled.fill_to(256 * KIB);
    assert!(is_open(&route), "{route}");
    filled.push(1);
    filled
        .daemon
        .wait_until("route.a", "paused", |route| route.paused_only_for("backpressure"));
    let total = filled.writer.written();
    filled.reader.check_up_to(&mut Checker::new(filled.pattern), total);
    filled.daemon.wait_until("route.a", "open", is_open);
    assert_eq!(filled.reader.try_read(1), Taken::Nothing);
}

/// asyncio's set_write_buffer_limits: given alone, each sets the other.
fn one_watermark_sets_the_other() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = "fifo:a"
        to = { fifo = "x", high-watermark = 1000 }
        [route.b]
        from = "fifo:b"
        to = { fifo = "y", low-watermark = "1KiB" }
        [route.c]
        from = "fifo:c"
        to = { fifo = "z", high-watermark = "1KB", low-watermark = "1KB" }
        "#,
    );
    let of = |name: &str| {
        let destination = daemon.route(name).destination(0);
        (destination.int("highWatermark"), destination.int("lowWatermark"))
    };
    assert_eq!((of("a"), of("b"), of("c")), ((1000, 250), (4096, 1024), (1000, 1000)));
}

fn refusal(watermarks: &str) -> String {
    let place = Place::new();
    let text = format!("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{watermarks}\n");
    std::fs::write(place.config(), text).expect("a config");
    let config = place.config().display().to_string();
    sluiced(&["--check", "--config", &config]).expect_code(78).stderr
}

/// asyncio: "high must be >= low must be >= 0", with both values.
fn reversed_watermarks_are_refused_with_both_values() {
    let said = refusal("high-watermark = \"3KiB\"\nlow-watermark = 5000");
    let both = (said.contains("3KiB") || said.contains("3072")) && said.contains("5000");
    assert!(both, "{said}");
}

fn a_negative_watermark_is_refused() {
    let said = refusal("high-watermark = -5");
    assert!(said.contains("-5") && said.contains(":4:"), "{said}");
}
