//! Models in numbers. What is not known has no line: a zero would be a lie.

use aiplat_api::{metrics::help, v1::ModelStatus};
use aiplat_core::condition::Word;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
    runner: String,
}

pub(super) fn register(all: &[ModelStatus], registry: &mut Registry) {
    let mut family = |name: &str, value: &dyn Fn(&ModelStatus) -> Option<u64>| {
        let family = Family::<Model, Gauge>::default();
        for it in all {
            if let Some(value) = value(it) {
                let labels = Model { model: it.model.clone(), runner: it.runner.clone() };
                family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        registry.register(name, help(name), family);
    };
    let is_known = |it: &ModelStatus| it.digest.is_some() || it.status != Word::Unknown;
    family("model_present", &|it| {
        (it.name.is_some() && is_known(it)).then(|| u64::from(it.digest.is_some()))
    });
    family("model_size_bytes", &|it| it.size.filter(|_| it.digest.is_some()));
    family("model_pull_bytes", &|it| it.pull.map(|pull| pull.total).filter(|total| *total > 0));
    family("model_pulled_bytes", &|it| it.pull.map(|pull| pull.done));
    family("model_vram_bytes", &|it| it.loaded.as_ref().map(|loaded| loaded.vram));
}

#[cfg(test)]
mod tests {
    use aiplat_api::v1::LoadedModelStatus;
    use aiplat_core::observed::PullProgress;
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn model(name: Option<&str>, status: Word) -> ModelStatus {
        ModelStatus {
            name: name.map(str::to_owned),
            model: format!("{}:1", name.unwrap_or("left")),
            runner: "ollama".to_owned(),
            status,
            message: String::new(),
            size: None,
            digest: None,
            loaded: None,
            pull: None,
            ordered: false,
            failure: None,
        }
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        let there = ModelStatus {
            digest: Some("d".to_owned()),
            size: Some(7),
            loaded: Some(LoadedModelStatus { size: 9, vram: 0, expires_at: String::new() }),
            ..model(Some("there"), Word::Ready)
        };
        let coming = ModelStatus {
            pull: Some(PullProgress { done: 3, total: 0 }),
            size: Some(8),
            ..model(Some("coming"), Word::Pulling)
        };
        let all = [there, coming, model(Some("who-knows"), Word::Unknown), model(None, Word::Ready)];
        let mut registry = Registry::with_prefix("aiplat");
        register(&all, &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes every text");
        let of = |name: &str| format!("{{model=\"{name}:1\",runner=\"ollama\"}}");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        // Samples of one metric come in any order.
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                format!("aiplat_model_present{} 0", of("coming")),
                format!("aiplat_model_present{} 1", of("there")),
                format!("aiplat_model_pulled_bytes{} 3", of("coming")),
                format!("aiplat_model_size_bytes{} 7", of("there")),
                format!("aiplat_model_vram_bytes{} 0", of("there")),
            ]
        );
    }
}
