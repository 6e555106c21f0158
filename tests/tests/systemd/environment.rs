//! Who gives a unit's process which variable, and what it uses: as a real systemd has it.

use std::collections::BTreeMap;

use aiplat_core::{action::UnitVerb, plan::variables};
use aiplat_host::Units;
use aiplat_tests::contract::units::wanted;

use crate::machine::Machine;

const UNIT: &str = "web.service";

#[tokio::test]
async fn what_the_files_say_is_what_the_process_is_started_with() {
    let Some(machine) = Machine::boot().await else { return };
    let env = |name: &str| machine.path(name).display().to_string();
    // Names say in which order they are read; every variable is set by the files that its name lists.
    machine.write("own.env", "OWNFILE=own\nOWNFILE_OURS=own\nODD=' a \"b\" $c \\ d '\nLONG=one\\\ntwo\n");
    machine.write("early.env", "EARLYFILE=early\nEARLYFILE_OURS=early\n");
    machine.write("late.env", "OURS_LATEFILE=late\n# OURS=comment\n");
    let own = format!(
        "[Service]\nExecStart=/bin/sleep infinity\nUser=daemon\nEnvironmentFile={}\nEnvironment=OWN=own OWN_LATE=own \"QUOTED=a b\" OWN_OURS=own \\\n  \
         NEXT=line\nEnvironment=OWNFILE=inline PERCENT=%n\n",
        env("own.env")
    );
    machine.write(UNIT, &own);
    let early = format!("[Service]\nEnvironmentFile={}\n", env("early.env"));
    machine.write("web.service.d/10-early.conf", &early);
    let late = format!(
        "[Service]\nEnvironment=OWN_LATE=late OURS_INLINE=late\nEnvironmentFile=-{}\nEnvironmentFile=-/absent\nUnsetEnvironment=OURS_UNSET\n",
        env("late.env")
    );
    machine.write("web.service.d/90-late.conf", &late);
    machine.reload().await;

    let ours = [
        ("EARLYFILE_OURS", "ours"),
        ("OURS", "ours"),
        ("OURS_INLINE", "ours"),
        ("OURS_LATEFILE", "ours"),
        ("OURS_UNSET", "ours"),
        ("OWNFILE_OURS", "ours"),
        ("OWN_OURS", "ours"),
    ];
    let spec = wanted(UNIT, &ours);
    machine.systemd.apply(&machine.files(UNIT, &ours).await).await.unwrap();
    machine.reload().await;
    let before = machine.look(UNIT).await;
    let said = |unit| {
        let pairs = variables(&spec, unit).into_iter().map(|it| (it.name, (it.value, it.from)));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let foretold = said(&before);
    let started = machine.started(UNIT).await;
    let effective = started.effective.clone().expect("readable");
    for (name, (value, from)) in &foretold {
        assert_eq!(effective.get(name), Some(value), "{name}, by {from}");
    }
    for (name, ends_with) in [
        ("OURS_LATEFILE", "90-late.conf"),
        ("OWN_LATE", "90-late.conf"),
        ("OURS_INLINE", "50-aiplatd.conf"),
        ("EARLYFILE", "10-early.conf"),
        ("OWN", "web.service"),
    ] {
        assert!(foretold[name].1.ends_with(ends_with), "{name}: {:?}", foretold[name]);
    }
    assert!(!foretold.contains_key("OURS_UNSET") && !effective.contains_key("OURS_UNSET"));
    assert_eq!(foretold["PERCENT"].0, "web.service");
    // What systemd adds by itself is nobody's, and not told of.
    let after = said(&started);
    assert_eq!(after["OURS_UNSET"].0, "(not set)");
    assert_eq!(after.len(), foretold.len() + 1, "{after:?}");
    assert_eq!((started.program.as_str(), started.user.as_str()), ("sleep", "daemon"));
    assert_eq!(started.home.as_deref(), effective.get("HOME").map(String::as_str));
}

#[tokio::test]
async fn what_a_unit_uses_is_measured() {
    let Some(machine) = Machine::boot().await else { return };
    machine.write(UNIT, "[Service]\nExecStart=/usr/bin/yes\nStandardOutput=null\nMemoryMax=64M\n");
    machine.reload().await;
    machine.started(UNIT).await;
    let used = Units::usage(&machine.systemd, UNIT).await.unwrap();
    assert!(used.cpu_percent > 5.0 && used.cpu_percent < 150.0, "{used:?}");
    assert!(used.memory > 0 && used.memory <= 64 << 20, "{used:?}");
    assert_eq!((used.memory_limit, used.pids), (64 << 20, 1), "{used:?}");
    machine.tell(UNIT, UnitVerb::Stop).await.unwrap();
}
