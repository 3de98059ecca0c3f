//! How large pipes are: where bulk is spliced through they are made larger, and everywhere else they stay as they were.

use crate::support::{Background, Checker, Daemon, FifoReader, FifoWriter, Pattern, stories, until};

stories!(
    bulk_makes_them_larger_and_a_size_that_was_set_stays,
    a_fifo_whose_peers_have_left_is_as_it_was_before,
    what_the_kernel_gives_at_first_is_enough_for_others,
);

/// What the kernel gives (pipe(7)).
const DEFAULT: u64 = 64 * 1024;
const LENGTH: u64 = 8 * 1024 * 1024;

/// A route and its peers, which stay.
struct Peers {
    name: &'static str,
    writer: FifoWriter,
    reader: FifoReader,
    checker: Checker,
}

fn pattern(name: &str) -> Pattern {
    Pattern::new(name.bytes().map(u64::from).sum())
}

impl Peers {
    fn of(daemon: &Daemon, name: &'static str) -> Peers {
        let reader = FifoReader::open(daemon.fifo(&format!("{name}-out")));
        daemon.wait_for(&format!("route.{name}"), "flowing");
        Peers {
            name,
            writer: FifoWriter::open(daemon.fifo(&format!("{name}-in"))),
            reader,
            checker: Checker::new(pattern(name)),
        }
    }

    /// So many bytes go through.
    fn go_on(mut self, bytes: u64) -> Peers {
        let upto = self.writer.written() + bytes;
        let mut writer = self.writer;
        let writing = Background::run(move || {
            writer.write_pattern(pattern(self.name), bytes);
            writer
        });
        self.reader.check_up_to(&mut self.checker, upto);
        let writer = writing.done();
        Peers { writer, ..self }
    }

    /// Of both FIFOs.
    fn sizes(&self) -> [u64; 2] {
        [self.writer.capacity(), self.reader.capacity()]
    }
}

fn route(name: &str, settings: &str) -> String {
    format!(
        "[route.{name}]\nfrom = {{ fifo = \"{name}-in\"{settings} }}\nto = {{ fifo = \"{name}-out\"{settings} }}\n\
         path = \"splice\"\n"
    )
}

/// Over an upgrade, too: whose pipe was given a size goes over with it.
fn bulk_makes_them_larger_and_a_size_that_was_set_stays() {
    let set = route("set", ", pipe-size = \"64KiB\"");
    let daemon = Daemon::start(&format!("{}{set}", route("free", "")));
    let mut free = Peers::of(&daemon, "free");
    let mut set = Peers::of(&daemon, "set");
    assert_eq!((free.sizes(), set.sizes()), ([DEFAULT; 2], [DEFAULT; 2]));
    for _ in 0..3 {
        free = free.go_on(LENGTH);
        set = set.go_on(LENGTH);
        assert!(free.sizes().iter().all(|size| *size > DEFAULT), "{:?}", free.sizes());
        assert_eq!(set.sizes(), [DEFAULT; 2]);
        daemon.upgrade();
    }
    // What was made larger in another life is given back in this one.
    drop(free.writer);
    daemon.wait_until("route.free", "opened again", |route| route.source(0).int("opens") == 2);
    let writer = FifoWriter::open(daemon.fifo("free-in"));
    until(
        || (writer.capacity() == DEFAULT).then_some(()),
        || format!("it holds {}", writer.capacity()),
    );
}

/// The daemon keeps a FIFO open while nobody else has it.
fn a_fifo_whose_peers_have_left_is_as_it_was_before() {
    let daemon = Daemon::start(&route("a", ""));
    for _ in 0..3 {
        let peers = Peers::of(&daemon, "a").go_on(LENGTH);
        assert!(peers.sizes().iter().all(|size| *size > DEFAULT), "{:?}", peers.sizes());
        drop(peers);
        daemon.wait_until("route.a", "without a reader", |route| {
            route.reasons() == ["no_reader"] && route.destination(0).int("kernelBytes") == 0
        });
        let reader = FifoReader::open(daemon.fifo("a-out"));
        let writer = FifoWriter::open(daemon.fifo("a-in"));
        until(
            || ([writer.capacity(), reader.capacity()] == [DEFAULT; 2]).then_some(()),
            || format!("they hold {} and {}", writer.capacity(), reader.capacity()),
        );
        drop(reader);
        daemon.wait_until("route.a", "without a reader", |route| route.reasons() == ["no_reader"]);
    }
}

/// Copied bytes gain nothing by larger pipes, and small ones do not either.
fn what_the_kernel_gives_at_first_is_enough_for_others() {
    let copied = route("copied", "").replace("splice", "copy");
    let daemon = Daemon::start(&format!("{copied}{}", route("small", "").replace("splice", "auto")));
    let copied = Peers::of(&daemon, "copied").go_on(LENGTH);
    let mut small = Peers::of(&daemon, "small");
    for _ in 0..200 {
        small = small.go_on(100);
    }
    assert_eq!((copied.sizes(), small.sizes()), ([DEFAULT; 2], [DEFAULT; 2]));
}
