//! Tiers: what a machine is strong enough for. Rules of the file, the first that fits; a tier is an active profile of its name.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One rule of `host.tiers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRule {
    /// The tier that it gives, and the profile that this switches on.
    pub name: String,
    /// The least memory of the largest GPU, in bytes; `None`: it needs none.
    pub vram: Option<u64>,
    /// The least memory of the machine, in bytes.
    pub ram: Option<u64>,
    /// The fewest threads of its processors.
    pub cpus: Option<u32>,
}

/// What the rules are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capacity {
    /// Memory of the largest GPU, in bytes; 0: there is none.
    pub vram: u64,
    /// Memory of the machine, in bytes.
    pub ram: u64,
    /// Threads of its processors.
    pub cpus: u32,
}

impl Capacity {
    /// Less of something, and more of nothing.
    fn is_less_than(self, other: Self) -> bool {
        self != other && self.vram <= other.vram && self.ram <= other.ram && self.cpus <= other.cpus
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        match self.vram {
            0 => write!(f, "{:.1} GiB of memory, {} threads and no GPU", gib(self.ram), self.cpus),
            vram => write!(
                f,
                "{:.1} GiB of memory, {} threads and a GPU with {:.1} GiB",
                gib(self.ram),
                self.cpus,
                gib(vram)
            ),
        }
    }
}

/// The tier of a machine, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Which rule has decided it.
    pub because: String,
}

/// The rules of a file that has none: those of the scripts that aiplatd replaces, with slack, for a card of 16 GB has 15.99 GiB of
/// them to give, and the kernel keeps some of 32 GiB to itself.
#[must_use]
pub fn default_rules() -> Vec<TierRule> {
    let rule = |name: &str, vram: Option<u64>, ram: Option<u64>| TierRule {
        name: name.to_owned(),
        vram: vram.map(|mib| mib * MIB),
        ram: ram.map(|gib| gib * GIB),
        cpus: None,
    };
    vec![
        rule("performance", Some(15_000), Some(30)),
        rule("standard", Some(5_800), Some(15)),
        rule("minimal", None, None),
    ]
}

/// The models that the scripts which aiplatd replaces pulled for a tier; none for a tier of the file's own.
#[must_use]
pub fn default_models(tier: &str) -> &'static [&'static str] {
    match tier {
        "performance" => &["llama3.1:8b", "nomic-embed-text", "codellama:13b"],
        "standard" => &["llama3.1:8b", "nomic-embed-text"],
        "minimal" => &["llama3.2:3b", "nomic-embed-text"],
        _ => &[],
    }
}

/// The tier that the first fitting rule gives, or the one that `tier:` names; `None` while the machine is not known, or when no
/// rule fits.
#[must_use]
pub fn decide(rules: &[TierRule], named: Option<&str>, capacity: Option<Capacity>) -> Option<Tier> {
    if let Some(name) = named {
        return Some(Tier { name: name.to_owned(), because: "`tier:` of the file names it".to_owned() });
    }
    let capacity = capacity?;
    let rule = rules.iter().find(|rule| lacking(rule, capacity).is_empty())?;
    let failed: Vec<String> = rules
        .iter()
        .take_while(|other| other.name != rule.name)
        .map(|other| format!("not {}: {}", other.name, lacking(other, capacity).join(", and ")))
        .collect();
    let fits = match wants(rule).as_slice() {
        [] => format!("{} asks for nothing", rule.name),
        wants => format!("the machine has at least {}", wants.join(" and ")),
    };
    let because = failed.into_iter().chain([fits]).collect::<Vec<_>>().join("; ");
    Some(Tier { name: rule.name.clone(), because })
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(GIB) { format!("{} GiB", bytes / GIB) } else { format!("{} MiB", bytes / MIB) }
}

fn wants(rule: &TierRule) -> Vec<String> {
    let vram = rule.vram.map(|vram| format!("{} of GPU memory", size(vram)));
    let ram = rule.ram.map(|ram| format!("{} of memory", size(ram)));
    let cpus = rule.cpus.map(|cpus| format!("{cpus} threads"));
    [vram, ram, cpus].into_iter().flatten().collect()
}

/// What the machine has too little of.
fn lacking(rule: &TierRule, has: Capacity) -> Vec<String> {
    let vram = rule.vram.filter(|vram| has.vram < *vram).map(|vram| match has.vram {
        0 => format!("it asks for {} of GPU memory, and there is no GPU", size(vram)),
        some => format!("it asks for {} of GPU memory, and the largest GPU has {}", size(vram), size(some)),
    });
    let ram = rule.ram.filter(|ram| has.ram < *ram);
    let ram = ram.map(|ram| format!("it asks for {} of memory, and there are {}", size(ram), size(has.ram)));
    let cpus = rule.cpus.filter(|cpus| has.cpus < *cpus);
    let cpus = cpus.map(|cpus| format!("it asks for {cpus} threads, and there are {}", has.cpus));
    [vram, ram, cpus].into_iter().flatten().collect()
}

/// What a machine has been judged by so far: more is believed at once, less only when it is seen twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// What the rules are held against.
    pub capacity: Option<Capacity>,
    /// Less than that, seen once.
    pub doubted: Option<Capacity>,
}

/// What a look at the machine means for its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing.
    Same,
    /// It has less than before: if the next look says so too, it is believed.
    Doubted(Capacity),
    /// The rules are held against this from now on.
    Changed(Capacity),
}

impl Judged {
    /// Takes in a look; `None`: the machine could not be read, which says nothing.
    pub fn take(&mut self, seen: Option<Capacity>) -> Judgement {
        let Some(seen) = seen else { return Judgement::Same };
        let Some(known) = self.capacity else {
            *self = Self { capacity: Some(seen), doubted: None };
            return Judgement::Changed(seen);
        };
        if seen == known {
            self.doubted = None;
            return Judgement::Same;
        }
        // A kernel gives a few pages more or less after each boot, and loses a GPU only once.
        if seen.is_less_than(known) && self.doubted != Some(seen) {
            self.doubted = Some(seen);
            return Judgement::Doubted(seen);
        }
        *self = Self { capacity: Some(seen), doubted: None };
        Judgement::Changed(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vram_mib: u64, ram_gib: u64) -> Capacity {
        Capacity { vram: vram_mib * MIB, ram: ram_gib * GIB, cpus: 8 }
    }

    fn tier(capacity: Capacity) -> String {
        decide(&default_rules(), None, Some(capacity)).expect("the last rule asks for nothing").name
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        assert_eq!(tier(of(16_376, 31)), "performance", "a card of 16 GB, and 32 GiB less the kernel's");
        assert_eq!(tier(of(16_376, 16)), "standard");
        assert_eq!(tier(of(6_144, 64)), "standard");
        assert_eq!(tier(of(0, 256)), "minimal");
        assert_eq!(tier(of(24_576, 8)), "minimal");
    }

    #[test]
    fn the_deciding_rule_is_told_with_what_the_better_ones_lacked() {
        let tier = decide(&default_rules(), None, Some(of(6_144, 64))).expect("it fits");
        assert_eq!(
            tier.because,
            "not performance: it asks for 15000 MiB of GPU memory, and the largest GPU has 6 GiB; the machine has at least \
             5800 MiB of GPU memory and 15 GiB of memory"
        );
        let without = decide(&default_rules(), None, Some(of(0, 8))).expect("it fits");
        assert!(
            without.because.contains("and there is no GPU, and it asks for 30 GiB"),
            "{}",
            without.because
        );
    }

    #[test]
    fn the_file_may_name_one_and_an_unknown_machine_has_none() {
        let named = decide(&default_rules(), Some("tiny"), None).expect("it is named");
        assert_eq!(named.name, "tiny");
        assert_eq!(decide(&default_rules(), None, None), None);
        assert_eq!(decide(&default_rules()[..1], None, Some(of(0, 1))), None, "no rule fits");
    }

    #[test]
    fn more_is_believed_at_once_and_less_only_when_seen_twice() {
        let mut judged = Judged::default();
        assert_eq!(judged.take(None), Judgement::Same);
        assert_eq!(judged.take(Some(of(0, 32))), Judgement::Changed(of(0, 32)));
        assert_eq!(judged.take(Some(of(8_192, 32))), Judgement::Changed(of(8_192, 32)));
        assert_eq!(judged.take(Some(of(0, 32))), Judgement::Doubted(of(0, 32)));
        assert_eq!(judged.take(None), Judgement::Same, "a look that failed says nothing");
        assert_eq!(judged.take(Some(of(8_192, 32))), Judgement::Same, "it is there again");
        assert_eq!(judged.take(Some(of(0, 32))), Judgement::Doubted(of(0, 32)));
        assert_eq!(judged.take(Some(of(0, 32))), Judgement::Changed(of(0, 32)));
    }
}
