use proptest::prelude::*;

use super::*;

type Chunks<'a> = &'a [&'a [u8]];

/// What goes on and what is held, of a stream that comes in these chunks.
fn framed(framing: Framing, max: u64, chunks: Chunks<'_>) -> (Vec<Framed>, u64) {
    let mut framer = Framer::new(framing, max);
    let framed = chunks.iter().map(|chunk| framer.take(chunk)).collect();
    (framed, framer.partial())
}

fn goes_on(out: usize, records: u64, oversized: u64, ended: bool) -> Framed {
    Framed {
        out,
        records,
        oversized,
        ended,
    }
}

#[test]
fn a_record_ends_with_its_terminator() {
    let cases: &[(Framing, Chunks<'_>, &[Framed], u64)] = &[
        (Framing::Bytes, &[b"a\nb"], &[goes_on(3, 0, 0, true)], 0),
        (Framing::Lines, &[b"a\n"], &[goes_on(2, 1, 0, true)], 0),
        (Framing::Lines, &[b"a\nb"], &[goes_on(2, 1, 0, true)], 1),
        (Framing::Lines, &[b"\n\n\n"], &[goes_on(3, 3, 0, true)], 0),
        (Framing::Lines, &[b"ab"], &[goes_on(0, 0, 0, false)], 2),
        (
            Framing::Lines,
            &[b"ab", b"c\n"],
            &[goes_on(0, 0, 0, false), goes_on(2, 1, 0, true)],
            0,
        ),
        (Framing::Lines, &[b"a\0b\r\n\xff"], &[goes_on(5, 1, 0, true)], 1),
        (Framing::Nul, &[b"a\nb\0c"], &[goes_on(4, 1, 0, true)], 1),
    ];
    for (framing, chunks, out, held) in cases {
        assert_eq!(
            framed(*framing, 8, chunks),
            (out.to_vec(), *held),
            "{framing} {chunks:?}"
        );
    }
}

#[test]
fn a_long_record_goes_on_in_parts_and_is_counted_once() {
    let cases: &[(Chunks<'_>, &[Framed], u64)] = &[
        // Of just the most bytes, with its terminator or without it: not long.
        (&[b"1234\n"], &[goes_on(5, 1, 0, true)], 0),
        (&[b"1234", b"\n"], &[goes_on(0, 0, 0, false), goes_on(1, 1, 0, true)], 0),
        // One more.
        (&[b"12345\n"], &[goes_on(6, 1, 1, true)], 0),
        (
            &[b"12345", b"\n"],
            &[goes_on(5, 0, 1, false), goes_on(1, 1, 0, true)],
            0,
        ),
        (
            &[b"123", b"45", b"6", b"7\nab"],
            &[
                goes_on(0, 0, 0, false),
                goes_on(2, 0, 1, false),
                goes_on(1, 0, 0, false),
                goes_on(2, 1, 0, true),
            ],
            2,
        ),
        // In the middle and at the end of a chunk.
        (&[b"a\n12345\nb\n"], &[goes_on(10, 3, 1, true)], 0),
        (&[b"a\n12345"], &[goes_on(2, 1, 0, true)], 5),
        (
            &[b"a\n12345", b"6"],
            &[goes_on(2, 1, 0, true), goes_on(1, 0, 1, false)],
            0,
        ),
        // Held bytes make the first one long.
        (
            &[b"123", b"45\n12345\n"],
            &[goes_on(0, 0, 0, false), goes_on(9, 2, 2, true)],
            0,
        ),
    ];
    for (chunks, out, held) in cases {
        assert_eq!(framed(Framing::Lines, 4, chunks), (out.to_vec(), *held), "{chunks:?}");
    }
}

#[test]
fn a_long_record_behind_another_waits_for_the_next_turn() {
    let mut framer = Framer::new(Framing::Lines, 4);
    framer.take(b"a\n1234");
    assert!(!framer.overdue());
    framer.take(b"\n12345");
    assert_eq!((framer.partial(), framer.is_long()), (5, false));
    assert!(framer.overdue() && framer.is_long() && framer.partial() == 0);
    assert!(!framer.overdue());
    assert_eq!(framer.take(b"6\n"), goes_on(2, 1, 0, true));
}

#[test]
fn the_end_of_a_stream_ends_a_record() {
    let mut framer = Framer::new(Framing::Lines, 4);
    assert!(!framer.finish());
    framer.take(b"a\n");
    assert!(!framer.finish());
    framer.take(b"a\nbc");
    assert!(framer.finish());
    assert!(!framer.finish() && framer.partial() == 0);
    framer.take(b"12345");
    assert!(framer.is_long() && framer.finish() && !framer.is_long());
}

#[test]
fn units_are_records_and_parts() {
    let units = |head, body: &'static [u8], terminator, ended| {
        Units::new(head, body, terminator, ended)
            .map(|unit| (unit.len, unit.last))
            .collect::<Vec<_>>()
    };
    assert_eq!(units(0, b"", Some(b'\n'), true), []);
    assert_eq!(units(3, b"", Some(b'\n'), true), [(3, true)]);
    assert_eq!(
        units(3, b"a\n\nbc", Some(b'\n'), false),
        [(5, true), (1, true), (2, false)]
    );
    assert_eq!(units(0, b"a\nb", None, true), [(3, true)]);
}

proptest! {
    /// However a stream is cut: the same bytes go on in the same order, each record in one piece unless it is long.
    #[test]
    fn cuts_change_nothing(
        stream in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..200),
        cuts in prop::collection::vec(1usize..20, 1..40),
        max in 1u64..12,
    ) {
        let mut framer = Framer::new(Framing::Lines, max);
        let (mut held, mut out, mut records, mut oversized) = (Vec::new(), Vec::new(), 0, 0);
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let chunk = &rest[..rest.len().min(*cut)];
            rest = &rest[chunk.len()..];
            let was_long = framer.is_long();
            let framed = framer.take(chunk);
            if framed.out > 0 {
                let mut piece: Vec<u8> = std::mem::take(&mut held);
                piece.extend_from_slice(&chunk[..framed.out]);
                prop_assert_eq!(framed.ended, piece.last() == Some(&b'\n'));
                prop_assert!(framed.ended || framer.is_long());
                prop_assert!(framed.ended || chunk.len() == framed.out);
                prop_assert!(was_long || out.is_empty() || out.last() == Some(&b'\n'));
                out.extend(piece);
            }
            held.extend_from_slice(&chunk[framed.out..]);
            prop_assert_eq!(held.len() as u64, framer.partial());
            if framer.overdue() {
                out.append(&mut held);
                oversized += 1;
            }
            prop_assert!(framer.partial() <= max);
            records += framed.records;
            oversized += framed.oversized;
            if rest.is_empty() {
                break;
            }
        }
        records += u64::from(framer.finish());
        out.extend(held);
        prop_assert_eq!(&out, &stream);
        let lines: Vec<&[u8]> = stream.split_inclusive(|byte| *byte == b'\n').collect();
        prop_assert_eq!(records, lines.len() as u64);
        let long = lines.iter().filter(|line| line.strip_suffix(b"\n").unwrap_or(line).len() as u64 > max).count();
        prop_assert_eq!(oversized, long as u64);
    }
}
