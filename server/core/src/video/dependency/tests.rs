//! Descriptors written as section A.8.2 has them, of the structures of section A.10.2 and of others.

use bitstream_io::{BitWrite, BitWriter};
use proptest::prelude::*;

use super::*;

/// A template: spatial and temporal layer, frame diffs, chain diffs, and an indication a decode target, as table A.1 writes them.
type Row = (u8, u8, &'static [u16], &'static [u8], &'static str);

/// The same, made of what a property chose.
type OwnedRow = (u8, u8, Vec<u16>, Vec<u8>, String);

/// A structure, and which of its templates the frames of a picture have: of the keyframe, and from then on of four by turns.
struct Scalability {
    rows: &'static [Row],
    chains: u8,
    /// By decode target.
    protected_by: &'static [u8],
    key: &'static [u8],
    pictures: [&'static [u8]; 4],
}

const L1T1: Scalability = Scalability {
    rows: &[(0, 0, &[], &[0], "S"), (0, 0, &[1], &[1], "S")],
    chains: 1,
    protected_by: &[0],
    key: &[0],
    pictures: [&[1]; 4],
};

/// Section A.10.2.1.
const L1T3: Scalability = Scalability {
    rows: &[
        (0, 0, &[], &[0], "SSS"),
        (0, 0, &[4], &[4], "SSS"),
        (0, 1, &[2], &[2], "SD-"),
        (0, 2, &[1], &[1], "D--"),
        (0, 2, &[1], &[3], "D--"),
    ],
    chains: 1,
    protected_by: &[0; 3],
    key: &[0],
    pictures: [&[3], &[2], &[4], &[1]],
};

/// Section A.10.2.2.
const L3T3: Scalability = Scalability {
    rows: &[
        (0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        (0, 0, &[12], &[12, 11, 10], "RRRRRRSSS"),
        (0, 1, &[6], &[6, 5, 4], "RR-RR-SD-"),
        (0, 2, &[3], &[3, 2, 1], "R--R--D--"),
        (0, 2, &[3], &[9, 8, 7], "R--R--D--"),
        (1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        (1, 0, &[12, 1], &[1, 1, 1], "RRRSSS---"),
        (1, 1, &[6, 1], &[7, 6, 5], "RR-SD----"),
        (1, 2, &[3, 1], &[4, 3, 2], "R--D-----"),
        (1, 2, &[3, 1], &[10, 9, 8], "R--D-----"),
        (2, 0, &[1], &[2, 1, 1], "SSS------"),
        (2, 0, &[12, 1], &[2, 1, 1], "SSS------"),
        (2, 1, &[6, 1], &[8, 7, 6], "SD-------"),
        (2, 2, &[3, 1], &[5, 4, 3], "D--------"),
        (2, 2, &[3, 1], &[11, 10, 9], "D--------"),
    ],
    chains: 3,
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
    key: &[0, 5, 10],
    pictures: [&[3, 8, 13], &[2, 7, 12], &[4, 9, 14], &[1, 6, 11]],
};

/// Only keyframes refer to smaller pictures.
const L3T3_KEY: Scalability = Scalability {
    rows: &[
        (0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        (0, 0, &[12], &[12, 11, 10], "------SSS"),
        (0, 1, &[6], &[6, 5, 4], "------SD-"),
        (0, 2, &[3], &[3, 2, 1], "------D--"),
        (0, 2, &[3], &[9, 8, 7], "------D--"),
        (1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        (1, 0, &[12], &[1, 12, 11], "---SSS---"),
        (1, 1, &[6], &[7, 6, 5], "---SD----"),
        (1, 2, &[3], &[4, 3, 2], "---D-----"),
        (1, 2, &[3], &[10, 9, 8], "---D-----"),
        (2, 0, &[1], &[2, 1, 1], "SSS------"),
        (2, 0, &[12], &[2, 1, 12], "SSS------"),
        (2, 1, &[6], &[8, 7, 6], "SD-------"),
        (2, 2, &[3], &[5, 4, 3], "D--------"),
        (2, 2, &[3], &[11, 10, 9], "D--------"),
    ],
    ..L3T3
};

/// A descriptor to be written.
#[derive(Clone, Default)]
struct Sent {
    template_id: u8,
    frame_number: u16,
    /// With the template id of its first row.
    structure: Option<(u8, Written)>,
    /// Of so many decode targets.
    active: Option<(u32, u32)>,
    indications: Option<String>,
    frame_diffs: Option<Vec<u16>>,
    chain_diffs: Option<Vec<u8>>,
}

/// A structure to be written.
#[derive(Clone, Debug, Default)]
struct Written {
    rows: Vec<OwnedRow>,
    chains: u8,
    protected_by: Vec<u8>,
    resolutions: Vec<(u16, u16)>,
}

type Writer = BitWriter<Vec<u8>, BigEndian>;

impl Scalability {
    fn written(&self) -> Written {
        let row = |&(spatial, temporal, frame_diffs, chain_diffs, indications): &Row| {
            (spatial, temporal, frame_diffs.to_vec(), chain_diffs.to_vec(), indications.to_owned())
        };
        let rows = self.rows.iter().map(row).collect();
        Written {
            rows,
            chains: self.chains,
            protected_by: self.protected_by.to_vec(),
            resolutions: Vec::new(),
        }
    }

    /// The frames of so many pictures, each by its template and number. The first is a keyframe.
    fn frames(&self, pictures: usize) -> impl Iterator<Item = Sent> + '_ {
        let later = self.pictures.iter().cycle().copied();
        let templates = std::iter::once(self.key).chain(later).take(pictures).flatten();
        // Numbers turn over meanwhile.
        let numbered = templates.enumerate().map(|(number, &id)| (id, (number as u16).wrapping_add(65_500)));
        numbered.enumerate().map(|(index, (template_id, frame_number))| {
            let structure = (index == 0).then(|| (0, self.written()));
            Sent { template_id, frame_number, structure, ..Sent::default() }
        })
    }
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        self.write().expect("memory takes all")
    }

    fn write(&self) -> io::Result<Vec<u8>> {
        let mut bits = Writer::endian(Vec::new(), BigEndian);
        bits.write_bit(true)?;
        bits.write_bit(false)?;
        bits.write::<6, u8>(self.template_id)?;
        bits.write::<16, u16>(self.frame_number)?;
        let flags = [
            self.structure.is_some(),
            self.active.is_some(),
            self.indications.is_some(),
            self.frame_diffs.is_some(),
            self.chain_diffs.is_some(),
        ];
        if flags.contains(&true) {
            flags.into_iter().try_for_each(|flag| bits.write_bit(flag))?;
        }
        if let Some((offset, structure)) = &self.structure {
            bits.write::<6, u8>(*offset)?;
            structure.write(&mut bits)?;
        }
        if let Some((targets, active)) = self.active {
            bits.write_var(targets, active)?;
        }
        write_indications(&mut bits, self.indications.as_deref().unwrap_or_default())?;
        if let Some(diffs) = &self.frame_diffs {
            for &diff in diffs {
                let nibbles =
                    [16, 256, 4_096].iter().position(|&beyond| diff <= beyond).expect("12 bits") + 1;
                bits.write::<2, u8>(nibbles as u8)?;
                bits.write_var(4 * nibbles as u32, diff - 1)?;
            }
            bits.write::<2, u8>(0)?;
        }
        for &diff in self.chain_diffs.iter().flatten() {
            bits.write::<8, u8>(diff)?;
        }
        bits.byte_align()?;
        Ok(bits.into_writer())
    }
}

impl Written {
    fn write(&self, bits: &mut Writer) -> io::Result<()> {
        let targets = self.protected_by.len() as u8;
        bits.write::<5, u8>(targets - 1)?;
        for pair in self.rows.windows(2) {
            let [(spatial, temporal, ..), (next_spatial, next_temporal, ..)] = pair else {
                unreachable!("two")
            };
            let next_layer = match (next_spatial - spatial, next_temporal.wrapping_sub(*temporal)) {
                (0, 0) => 0,
                (0, _) => 1,
                _ => 2,
            };
            bits.write::<2, u8>(next_layer)?;
        }
        bits.write::<2, u8>(3)?;
        self.rows.iter().try_for_each(|row| write_indications(bits, &row.4))?;
        for (_, _, frame_diffs, ..) in &self.rows {
            for diff in frame_diffs {
                bits.write_bit(true)?;
                bits.write::<4, u16>(diff - 1)?;
            }
            bits.write_bit(false)?;
        }
        write_non_symmetric(bits, targets + 1, self.chains)?;
        if self.chains > 0 {
            self.protected_by.iter().try_for_each(|&chain| write_non_symmetric(bits, self.chains, chain))?;
            let diffs = self.rows.iter().flat_map(|row| &row.3);
            diffs.copied().try_for_each(|diff| bits.write::<4, u8>(diff))?;
        }
        bits.write_bit(!self.resolutions.is_empty())?;
        for &(width, height) in &self.resolutions {
            bits.write::<16, u16>(width - 1)?;
            bits.write::<16, u16>(height - 1)?;
        }
        Ok(())
    }
}

fn write_indications(bits: &mut Writer, indications: &str) -> io::Result<()> {
    let values = indications.chars().map(|symbol| "-DSR".find(symbol).expect("one of table A.1") as u8);
    values.into_iter().try_for_each(|value| bits.write::<2, u8>(value))
}

/// `write_ns(n, v)`
fn write_non_symmetric(bits: &mut Writer, n: u8, value: u8) -> io::Result<()> {
    if n == 1 {
        return Ok(());
    }
    let width = u8::BITS - n.leading_zeros();
    let shorter = (1 << width) - n;
    if value < shorter { bits.write_var(width - 1, value) } else { bits.write_var(width, value + shorter) }
}

fn symbols(indications: &[Indication]) -> String {
    let symbol = |indication: &Indication| match indication {
        Indication::NotPresent => '-',
        Indication::Discardable => 'D',
        Indication::Switch => 'S',
        Indication::Required => 'R',
    };
    indications.iter().map(symbol).collect()
}

fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

/// All layers that may be asked for.
fn layers() -> impl Iterator<Item = Layer> + Clone {
    (0..3).flat_map(|spatial| (0..3).map(move |temporal| layer(spatial, temporal)))
}

#[test]
fn a_frame_has_what_its_template_has() {
    for scalability in [L1T1, L1T3, L3T3, L3T3_KEY] {
        let mut reader = DependencyReader::default();
        for sent in scalability.frames(20) {
            let bytes = sent.bytes();
            assert!(
                sent.structure.is_some() || bytes.len() == 3,
                "\"the typical DD payload requires three bytes\""
            );
            let read = reader.read(&bytes).unwrap();
            let (spatial, temporal, frame_diffs, chain_diffs, indications) =
                scalability.rows[usize::from(sent.template_id)];
            assert_eq!(read.layer, layer(spatial, temporal));
            assert_eq!((read.begins_frame, read.ends_frame), (true, false));
            assert_eq!(
                (read.begins_sequence, read.frame_number),
                (sent.structure.is_some(), sent.frame_number)
            );
            assert_eq!(read.frame_diffs[..], *frame_diffs);
            assert_eq!(read.chain_diffs[..], *chain_diffs);
            assert_eq!(symbols(&read.indications), indications);
            assert_eq!(read.active.count_ones() as usize, scalability.protected_by.len());
        }
    }
}

#[test]
fn decode_targets_have_the_layers_of_their_frames() {
    let targets = |scalability: Scalability| {
        let mut reader = DependencyReader::default();
        let key = scalability.frames(1).next().unwrap().bytes();
        let targets = reader.read(&key).unwrap().structure.targets.clone();
        targets.iter().map(|it| (it.layer.spatial, it.layer.temporal, it.chain.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(targets(L1T1), [(0, 0, 0)]);
    assert_eq!(targets(L1T3), [(0, 2, 0), (0, 1, 0), (0, 0, 0)]);
    let nine = [(2, 2), (2, 1), (2, 0), (1, 2), (1, 1), (1, 0), (0, 2), (0, 1), (0, 0)];
    let nine = nine.map(|(spatial, temporal)| (spatial, temporal, spatial));
    assert_eq!(targets(L3T3), nine);
    assert_eq!(targets(L3T3_KEY), nine);
}

#[test]
fn whoever_gets_what_is_needed_for_a_layer_can_decode_it() {
    for scalability in [L1T1, L1T3, L3T3, L3T3_KEY] {
        for wanted in layers() {
            let mut reader = DependencyReader::default();
            let mut got = Vec::new();
            let mut pictures = 0;
            for sent in scalability.frames(41) {
                let bytes = sent.bytes();
                let read = reader.read(&bytes).unwrap();
                if !read.is_needed(wanted) {
                    continue;
                }
                let refers_to = |diff: &u16| got.contains(&read.frame_number.wrapping_sub(*diff));
                assert!(read.frame_diffs.iter().all(refers_to), "{wanted:?} {read:?}");
                let follows =
                    |diff: u8| diff == 0 || got.contains(&read.frame_number.wrapping_sub(diff.into()));
                assert!(read.chain_diff(wanted).is_some_and(follows), "{wanted:?} {read:?}");
                got.push(read.frame_number);
                pictures += usize::from(read.layer.spatial == 0 || scalability.key.len() > 1);
            }
            assert!(pictures > 10);
        }
    }
}

#[test]
fn whoever_changes_where_they_may_can_decode_the_other_layer() {
    for scalability in [L1T1, L1T3, L3T3, L3T3_KEY] {
        let ways = layers().flat_map(|from| layers().map(move |to| (from, to)));
        for (from, to) in ways {
            let mut reader = DependencyReader::default();
            let (mut got, mut wanted, mut changed_at) = (Vec::new(), from, None);
            for (index, sent) in scalability.frames(41).enumerate() {
                let bytes = sent.bytes();
                let read = reader.read(&bytes).unwrap();
                let is_decodable =
                    read.frame_diffs.iter().all(|diff| got.contains(&read.frame_number.wrapping_sub(*diff)));
                if wanted != to && index > 20 && read.may_switch(to) && is_decodable {
                    (wanted, changed_at) = (to, Some(index));
                }
                if read.is_needed(wanted) {
                    assert!(is_decodable, "{from:?} {to:?} {read:?}");
                    got.push(read.frame_number);
                }
            }
            let is_faster_or_slower = from.spatial == to.spatial || scalability.key.len() == 1;
            let is_smaller = from.spatial > to.spatial && scalability.rows[1].4.starts_with('R');
            let may_change = from != to && (is_faster_or_slower || is_smaller);
            assert_eq!(changed_at.is_some(), may_change, "{from:?} {to:?}");
        }
    }
}

#[test]
fn a_layer_that_is_not_sent_any_more_is_not_waited_for() {
    let mut reader = DependencyReader::default();
    let mut frames = L3T3.frames(3);
    assert!(reader.read(&frames.next().unwrap().bytes()).unwrap().is_needed(layer(0, 0)));
    // The largest pictures end: of nine decode targets the first three.
    let small =
        Sent { active: Some((9, 0b1_1111_1000)), template_id: 5, frame_number: 65_501, ..Sent::default() };
    let read = reader.read(&small.bytes()).unwrap();
    assert_eq!((read.active, read.indication(layer(2, 2))), (0b1_1111_1000, Indication::Switch));
    let slower = Sent { template_id: 8, frame_number: 65_504, ..Sent::default() };
    let bytes = slower.bytes();
    assert_eq!(
        reader.read(&bytes).unwrap().indication(layer(2, 2)),
        Indication::Discardable,
        "as of the middle"
    );
    // What came late was so before.
    let late =
        Sent { active: Some((9, 0b1_1111_1111)), template_id: 5, frame_number: 65_500, ..Sent::default() };
    assert_eq!(reader.read(&late.bytes()).unwrap().active, 0b1_1111_1000);
    let none = Sent { active: Some((9, 0)), template_id: 8, frame_number: 65_506, ..Sent::default() };
    assert!(!reader.read(&none.bytes()).unwrap().is_needed(layer(2, 2)));
}

#[test]
fn a_frame_may_differ_from_its_template() {
    let mut reader = DependencyReader::default();
    let key = L3T3.frames(1).next().unwrap().bytes();
    reader.read(&key).unwrap();
    let custom = Sent {
        template_id: 1,
        indications: Some("-DSRRSD--".to_owned()),
        frame_diffs: Some(vec![1, 16, 17, 256, 257, 4_096]),
        chain_diffs: Some(vec![255, 0, 3]),
        ..Sent::default()
    };
    let bytes = custom.bytes();
    let read = reader.read(&bytes).unwrap();
    assert_eq!((read.layer, symbols(&read.indications).as_str()), (layer(0, 0), "-DSRRSD--"));
    assert_eq!(read.frame_diffs[..], [1, 16, 17, 256, 257, 4_096]);
    assert_eq!(read.chain_diffs[..], [255, 0, 3]);
    let plain = Sent { template_id: 1, ..Sent::default() }.bytes();
    assert_eq!(reader.read(&plain).unwrap().frame_diffs[..], [12], "the template is as it was");
}

#[test]
fn resolutions_are_those_of_the_layers() {
    let resolutions = vec![(320, 180), (640, 360), (65_535, 65_535)];
    let structure = Written { resolutions, ..L3T3.written() };
    let mut reader = DependencyReader::default();
    let bytes = Sent { structure: Some((0, structure)), ..Sent::default() }.bytes();
    let resolutions = &reader.read(&bytes).unwrap().structure.resolutions;
    let sizes = resolutions.iter().map(|it| (it.width, it.height)).collect::<Vec<_>>();
    assert_eq!(sizes, [(320, 180), (640, 360), (65_535, 65_535)]);
}

#[test]
fn a_new_structure_takes_the_place_of_the_former_one() {
    let mut reader = DependencyReader::default();
    let of = |id, frame_number| Sent { template_id: id, frame_number, ..Sent::default() };
    assert_eq!(reader.read(&of(0, 0).bytes()), Err(DependencyError::NoStructure));
    let first = Sent { structure: Some((60, L1T3.written())), ..of(60, 1_000) };
    reader.read(&first.bytes()).unwrap();
    assert_eq!(reader.read(&of(0, 1_001).bytes()).unwrap().layer, layer(0, 2), "ids turn over after 63");
    assert_eq!(reader.read(&of(1, 1_002).bytes()), Err(DependencyError::UnknownTemplate(1)));
    let second = Sent { structure: Some((1, L3T3.written())), ..of(1, 1_010) };
    reader.read(&second.bytes()).unwrap();
    assert_eq!(reader.read(&of(60, 1_004).bytes()), Err(DependencyError::UnknownTemplate(60)), "late");
    assert_eq!(reader.read(&first.bytes()), Err(DependencyError::Late));
    assert_eq!(reader.read(&of(15, 1_024).bytes()).unwrap().layer, layer(2, 2));
    let anew = Sent { structure: Some((20, L1T1.written())), ..of(20, 1_010 - LATE_FRAMES_MAX - 1) };
    assert!(reader.read(&anew.bytes()).unwrap().begins_sequence, "of a new numbering");
}

#[test]
fn what_is_cut_off_is_an_error_and_changes_nothing() {
    for scalability in [L1T1, L1T3, L3T3, L3T3_KEY] {
        let whole = scalability.frames(1).next().unwrap().bytes();
        for length in 0..whole.len() {
            let mut reader = DependencyReader::default();
            assert!(reader.read(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
            assert!(reader.known.is_none());
        }
        let padded = [whole, vec![0; 20]].concat();
        assert!(DependencyReader::default().read(&padded).is_ok(), "zero_padding");
    }
}

#[test]
fn a_structure_has_its_largest_size_and_not_one_more() {
    let of_rows = |rows: Vec<OwnedRow>, targets: usize| {
        let structure = Written { rows, protected_by: vec![0; targets], ..Written::default() };
        let bytes = Sent { structure: Some((0, structure)), ..Sent::default() }.bytes();
        DependencyReader::default().read(&bytes).map(|read| read.active)
    };
    let row = |spatial, temporal, diffs: usize, targets| {
        (spatial, temporal, vec![1; diffs], Vec::new(), "S".repeat(targets))
    };
    let too_large = Err(DependencyError::TooLarge);
    assert_eq!(of_rows(vec![row(0, 0, 0, 32); 64], 32), Ok(u32::MAX));
    assert_eq!(of_rows(vec![row(0, 0, 0, 1); 65], 1), too_large);
    let spatial = |count| (0..count).map(|spatial| row(spatial, 0, 0, 1)).collect();
    let temporal = |count| (0..count).map(|temporal| row(0, temporal, 0, 1)).collect();
    assert_eq!((of_rows(spatial(4), 1), of_rows(spatial(5), 1)), (Ok(1), too_large));
    assert_eq!((of_rows(temporal(8), 1), of_rows(temporal(9), 1)), (Ok(1), too_large));
    let diffs = |count| of_rows(vec![row(0, 0, count, 1)], 1);
    assert_eq!((diffs(FRAME_DIFFS_MAX), diffs(FRAME_DIFFS_MAX + 1)), (Ok(1), too_large));
}

/// Structures of any kind.
fn written() -> impl Strategy<Value = Written> {
    let sizes = (1_usize..=32, prop::collection::vec(0_u8..3, 0..40));
    sizes.prop_flat_map(|(targets, steps)| {
        (Just(steps), 0..=targets as u8).prop_flat_map(move |(steps, chains)| {
            let indications = prop::collection::vec(prop::sample::select(vec!['-', 'D', 'S', 'R']), targets);
            let frame_diffs = prop::collection::vec(1_u16..=16, 0..=FRAME_DIFFS_MAX);
            let row = (frame_diffs, prop::collection::vec(0_u8..16, usize::from(chains)), indications);
            let rows = prop::collection::vec(row, steps.len() + 1);
            let protected_by = prop::collection::vec(0..chains.max(1), targets);
            let resolutions = prop::collection::vec((1_u16.., 1_u16..), 4);
            (rows, protected_by, any::<bool>(), resolutions).prop_map(
                move |(rows, protected_by, has, resolutions)| {
                    let (mut spatial, mut temporal) = (0, 0);
                    let next = steps.iter().map(|step| {
                        match step {
                            1 if temporal < 7 => temporal += 1,
                            2 if spatial < 3 => (spatial, temporal) = (spatial + 1, 0),
                            _ => {}
                        }
                        (spatial, temporal)
                    });
                    let layers = std::iter::once((0, 0)).chain(next).collect::<Vec<_>>();
                    let count = if has { layers.last().map_or(0, |last| usize::from(last.0) + 1) } else { 0 };
                    let rows =
                        rows.into_iter().zip(layers).map(|((frame_diffs, chain_diffs, symbols), layer)| {
                            (layer.0, layer.1, frame_diffs, chain_diffs, symbols.into_iter().collect())
                        });
                    let (rows, resolutions) = (rows.collect(), resolutions[..count].to_vec());
                    Written { rows, chains, protected_by, resolutions }
                },
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(structure in written(), offset in 0_u8..64, frame_number: u16) {
        let mut reader = DependencyReader::default();
        let template_id = offset;
        let key = Sent { template_id, frame_number, structure: Some((offset, structure.clone())), ..Sent::default() };
        prop_assert!(reader.read(&key.bytes()).unwrap().begins_sequence);
        for (index, (spatial, temporal, frame_diffs, chain_diffs, indications)) in structure.rows.iter().enumerate() {
            let template_id = (offset + index as u8) % 64;
            let bytes = Sent { template_id, frame_number, ..Sent::default() }.bytes();
            let read = reader.read(&bytes).unwrap();
            prop_assert_eq!(read.layer, layer(*spatial, *temporal));
            prop_assert_eq!(&read.frame_diffs[..], &frame_diffs[..]);
            prop_assert_eq!(&read.chain_diffs[..], &chain_diffs[..]);
            prop_assert_eq!(&symbols(&read.indications), indications);
            let chains: Vec<_> = read.structure.targets.iter().map(|target| target.chain).collect();
            let protected_by: Vec<_> =
                structure.protected_by.iter().map(|&chain| (structure.chains > 0).then_some(chain)).collect();
            prop_assert_eq!(chains, protected_by);
            prop_assert_eq!(read.structure.resolutions.len(), structure.resolutions.len());
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(
        structure in prop::option::of(written()),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..256), 1..20),
    ) {
        let mut reader = DependencyReader::default();
        if let Some(structure) = structure {
            reader.read(&Sent { structure: Some((0, structure)), ..Sent::default() }.bytes()).unwrap();
        }
        for packet in packets {
            if let Ok(read) = reader.read(&packet) {
                prop_assert_eq!(read.indications.len(), read.structure.targets.len());
                let asked = read.indication(Layer::MAX);
                prop_assert!(read.active != 0 || asked == Indication::NotPresent);
                read.chain_diff(layer(1, 1));
            }
        }
    }

    #[test]
    fn a_structure_with_wrong_bits_is_read_or_refused(
        structure in written(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..8), 1..6),
    ) {
        let mut bytes = Sent { structure: Some((0, structure)), ..Sent::default() }.bytes();
        for (at, bit) in wrong {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let mut reader = DependencyReader::default();
        let is_read = reader.read(&bytes).is_ok();
        prop_assert_eq!(is_read, reader.known.is_some());
    }
}
