//! Every message survives its bytes, and no bytes make the parser panic.

use pinfold_wire::*;
use proptest::prelude::*;

fn oid() -> impl Strategy<Value = Oid> {
    prop_oneof!["[0-9a-f]{40}", "[0-9a-f]{64}"].prop_map(|hex| Oid::new(hex).unwrap())
}

fn tip() -> impl Strategy<Value = RefTip> {
    ("refs/heads/\\PC{1,40}", oid()).prop_map(|(name, oid)| RefTip { name, oid })
}

fn offer() -> impl Strategy<Value = GitOffer> {
    let where_from = (any::<u32>(), any::<u64>());
    (where_from, any::<Option<String>>(), prop::option::of(oid()), prop::collection::vec(tip(), 0..40), any::<bool>())
        .prop_map(|((repository, number), head_ref, head, refs, cut)| GitOffer {
            repository,
            number,
            head_ref,
            head,
            refs,
            cut,
            last: !cut,
        })
}

fn from_init() -> impl Strategy<Value = FromInit> {
    prop_oneof![
        (any::<String>(), any::<i32>()).prop_map(|(doing, errno)| FromInit::BuildFailed {
            stage: Stage::Mounts,
            doing,
            errno
        }),
        (any::<String>(), any::<String>()).prop_map(|(path, found)| FromInit::Changed { path, found }),
        Just(FromInit::Terminal),
        Just(FromInit::Started),
        Just(FromInit::Leaving),
        Just(FromInit::Alone),
        (any::<String>(), any::<String>()).prop_map(|(probe, found)| FromInit::ProbeFailed { probe, found }),
        any::<i32>().prop_map(|errno| FromInit::NotStarted { errno }),
        any::<i32>().prop_map(|signal| FromInit::Stopped { signal }),
        offer().prop_map(FromInit::GitOffer),
        any::<String>().prop_map(|text| FromInit::Note { text }),
        any::<u8>().prop_map(|code| FromInit::Exited { ending: Ending::Exited { code } }),
        any::<i32>().prop_map(|signal| FromInit::Exited { ending: Ending::Killed { signal } }),
    ]
}

fn to_init() -> impl Strategy<Value = ToInit> {
    prop_oneof![
        Just(ToInit::Mapped),
        any::<i32>().prop_map(|number| ToInit::Signal { number }),
        (any::<u64>(), prop::collection::vec(oid(), 0..40)).prop_map(|(number, oids)| ToInit::Known(GitKnown {
            repository: number as u32,
            number,
            oids
        })),
        (any::<u32>(), any::<String>(), oid()).prop_map(|(repository, branch, oid)| ToInit::HostRef(HostRef {
            repository,
            branch,
            oid
        })),
        (any::<u32>(), any::<Vec<u8>>()).prop_map(|(number, at)| ToInit::Repository { number, at }),
        Just(ToInit::Told),
    ]
}

proptest! {
    #[test]
    fn from_init_survives(message in from_init()) {
        prop_assert_eq!(decode::<FromInit>(&encode(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn to_init_survives(message in to_init()) {
        prop_assert_eq!(decode::<ToInit>(&encode(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn noise_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(decode::<FromInit>(&bytes).is_err());
        prop_assert!(decode::<ToInit>(&bytes).is_err());
        prop_assert!(decode::<FromMaskFs>(&bytes).is_err());
    }

    /// Real messages with one byte changed: parsed or refused, never a panic.
    #[test]
    fn damage_is_no_panic(message in from_init(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode::<FromInit>(&bytes);
    }
}

#[test]
fn limits_hold_on_both_sides() {
    let long = FromInit::Note { text: "x".repeat(MAX_MESSAGE) };
    assert!(matches!(encode(&long), Err(WireError::TooLong(_))));
    let bytes = vec![b' '; MAX_MESSAGE + 1];
    assert!(matches!(decode::<FromInit>(&bytes), Err(WireError::TooLong(_))));
    let deep = format!("{{\"v\":2,\"m\":{{\"say\":\"event\",\"line\":{}", "[".repeat(30_000));
    assert!(
        matches!(decode::<FromMaskFs>(deep.as_bytes()), Err(WireError::Malformed(_))),
        "no stack is spent on nesting"
    );
}

#[test]
fn another_vocabulary_says_so() {
    let bytes = br#"{"v":99,"m":{"say":"something-new"}}"#;
    assert!(matches!(decode::<ToInit>(bytes), Err(WireError::Version(99))));
}

#[test]
fn ids_are_checked_at_the_door() {
    for bad in ["", "abc", &"g".repeat(40), &"A".repeat(40), &"0".repeat(41), "--upload-pack=x"] {
        assert_eq!(Oid::new(bad), Err(BadOid), "{bad:?}");
    }
    let message =
        format!(r#"{{"v":2,"m":{{"say":"host-ref","repository":0,"branch":"main","oid":"{}"}}}}"#, "-".repeat(40));
    assert!(decode::<ToInit>(message.as_bytes()).is_err());
}

/// An offer of the largest size that the box may make fits into one message.
#[test]
fn the_largest_offer_fits() {
    let oid = Oid::new("a".repeat(64)).unwrap();
    let refs = (0..MAX_REFS).map(|_| RefTip { name: "r".repeat(MAX_REF_NAME), oid: oid.clone() }).collect();
    let offer = GitOffer {
        repository: u32::MAX,
        number: u64::MAX,
        head_ref: Some("r".repeat(MAX_REF_NAME)),
        head: Some(oid),
        refs,
        cut: true,
        last: true,
    };
    encode(&FromInit::GitOffer(offer)).unwrap();
}

/// So does the longest path that a file system call can name.
#[test]
fn the_longest_path_fits() {
    encode(&FromMaskFs::Repository { number: u32::MAX, at: vec![255; 4096] }).unwrap();
    encode(&ToInit::Repository { number: u32::MAX, at: vec![255; 4096] }).unwrap();
}
