//! A platform in every state that a table can show.

use std::time::Duration;

use aiplat_api::v1::{
    CheckDetail, Event, EventType, GateStatus, HostPathStatus, HostStatus, PlatformStatus, ResourceStatus,
    ServiceDetail, ServiceStatus, StatusCondition, StatusDoc, UnitDetail, UnitVariable, VolumeGrowth,
    VolumeUsage,
};
use aiplat_core::{
    ResourceId, Timestamp,
    condition::{Condition, ConditionType, Reason, Status, Word},
    observed::{ProbeOutcome, PullProgress},
    plan::Pressure,
    spec::Role,
};

/// The moment at which the documents are looked at.
pub(crate) const NOW: &str = "2026-11-20T12:00:00Z";

/// A condition that has held since `minutes` ago.
pub(crate) fn condition(
    kind: ConditionType,
    status: Status,
    reason: Reason,
    message: &str,
    minutes: i64,
) -> StatusCondition {
    StatusCondition {
        condition: Condition { kind, status, reason, message: message.to_owned() },
        last_transition_time: Some(ago(minutes)),
        observed_generation: 4,
    }
}

/// A moment so many minutes before [`NOW`].
pub(crate) fn ago(minutes: i64) -> String {
    let now: jiff::Timestamp = NOW.parse().expect("it is a moment");
    (now - jiff::SignedDuration::from_mins(minutes)).to_string()
}

/// A service with this word; its Ready condition goes with the word.
pub(crate) fn service(name: &str, status: Word, minutes: i64, message: &str, why: &[&str]) -> ServiceStatus {
    let ready = matches!(status, Word::Ready | Word::Completed | Word::Degraded);
    let reason = if ready { Reason::AsDesired } else { Reason::WaitingForDependencies };
    ServiceStatus {
        name: name.to_owned(),
        desired: true,
        kind: "ctr".to_owned(),
        status,
        since: Some(ago(minutes)),
        restarts: 0,
        endpoint: String::new(),
        message: message.to_owned(),
        why: why.iter().map(|link| (*link).to_owned()).collect(),
        conditions: vec![condition(ConditionType::Ready, Status::of(ready), reason, message, minutes)],
        detail: ServiceDetail {
            image: format!("registry.example/{name}:1"),
            image_id: None,
            container: format!("home-ai-{name}"),
            container_id: Some("3f2a9c1d77e04b55aa".to_owned()),
            state: Some("running".to_owned()),
            ..ServiceDetail::default()
        },
    }
}

/// A resource that is not a service's container.
pub(crate) fn resource(id: ResourceId, host_name: &str, used_by: &[&str]) -> ResourceStatus {
    ResourceStatus {
        id,
        host_name: host_name.to_owned(),
        desired: true,
        status: Word::Ready,
        message: String::new(),
        conditions: vec![condition(ConditionType::Ready, Status::True, Reason::AsDesired, "", 4_320)],
        used_by: used_by.iter().map(|name| (*name).to_owned()).collect(),
        pull: None,
        usage: None,
        moving: false,
    }
}

pub(crate) fn event(
    number: u64,
    minutes: i64,
    kind: EventType,
    reason: &str,
    resource: &str,
    message: &str,
) -> Event {
    Event {
        number,
        time: ago(minutes),
        kind,
        reason: reason.to_owned(),
        resource: resource.to_owned(),
        message: message.to_owned(),
        count: 1,
    }
}

/// Six services: a database without its folder, and what follows from it; an accelerator on the side.
pub(crate) fn broken() -> StatusDoc {
    let postgres = "postgres StorageReady=False: /srv/ai/postgres is owned by 0:0, needs 999:999";
    let mut litellm = service(
        "litellm",
        Word::CrashLoop,
        2,
        "ended with exit code 1 five times in 10m: ConfigInvalid /app/config.yaml line 12; next try in 4m",
        &["litellm waits for postgres", postgres],
    );
    litellm.restarts = 5;
    litellm.endpoint = "127.0.0.1:4000".to_owned();
    litellm.detail = litellm_detail();
    litellm.conditions.insert(
        0,
        condition(ConditionType::CrashLoop, Status::True, Reason::CrashLoop, "ended five times in 10m", 2),
    );
    let mut webui = service(
        "open-webui",
        Word::Pending,
        2,
        "waits for litellm",
        &["open-webui waits for litellm", "litellm waits for postgres", postgres],
    );
    webui.endpoint = "0.0.0.0:3000".to_owned();
    let mut ollama = service("ollama", Word::Degraded, 120, "on CPU: GPU-8f3a lost (driver mismatch)", &[]);
    ollama.restarts = 1;
    ollama.endpoint = "127.0.0.1:11434".to_owned();
    let held =
        service("postgres", Word::Held, 3, "/srv/ai/postgres is owned by 0:0, needs 999:999", &[postgres]);
    let mut cache = service("redis", Word::Ready, 4_320, "", &[]);
    cache.detail.depends_on = Vec::new();
    let migrate = service("migrate", Word::Completed, 4_320, "", &[]);
    let mut doc = document(vec![litellm, migrate, ollama, webui, held, cache]);
    doc.platform.sentence = "2 of 6 services are Ready; postgres: owned by 0:0, needs 999:999".to_owned();
    doc.events = vec![
        event(1, 4_320, EventType::Normal, "DEPLOY_START", "platform", "generation 4 is in force"),
        event(2, 180, EventType::Warning, "HEALTH_FAILED", "container/redis", "no answer within 2s"),
        event(3, 40, EventType::Warning, "HEALTH_FAILED", "container/redis", "no answer within 2s"),
        event(4, 2, EventType::Warning, "RECOVERY_NEEDED", "container/litellm", "five restarts within 10m"),
        event(5, 1, EventType::Normal, "HEALTH_SUCCESS", "container/redis", "GET / answered 200"),
    ];
    doc
}

/// A unit with a drop-in of somebody else's.
pub(crate) fn ollama_detail() -> ServiceDetail {
    let variable = |name: &str, value: &str, from: &str, ours: bool| UnitVariable {
        name: name.to_owned(),
        value: value.to_owned(),
        from: from.to_owned(),
        ours,
    };
    let folder = "/etc/systemd/system/ollama.service.d";
    ServiceDetail {
        state: Some("active (running)".to_owned()),
        unit: Some(UnitDetail {
            name: "ollama.service".to_owned(),
            management: "configure".to_owned(),
            file: "/etc/systemd/system/ollama.service".to_owned(),
            enabled: "enabled".to_owned(),
            pid: Some(812),
            drop_in: Some(format!("{folder}/50-aiplatd.conf")),
            other_drop_ins: vec![format!("{folder}/90-local.conf")],
            environment: vec![
                variable(
                    "HF_TOKEN",
                    "<redacted>",
                    "/etc/default/ollama, named in /etc/systemd/system/ollama.service",
                    false,
                ),
                variable(
                    "OLLAMA_HOST",
                    "0.0.0.0",
                    "/var/lib/aiplatd/units/ollama.service.env, named in /etc/systemd/system/ollama.service.d/50-aiplatd.conf",
                    true,
                ),
                variable("OLLAMA_ORIGINS", "*", "/etc/systemd/system/ollama.service.d/90-local.conf", false),
            ],
            journal: Vec::new(),
            written: false,
            timer: None,
            diagnosis: None,
        }),
        ..ServiceDetail::default()
    }
}

fn litellm_detail() -> ServiceDetail {
    ServiceDetail {
        image: "ghcr.io/berriai/litellm-database:main-stable".to_owned(),
        image_id: None,
        container: "home-ai-litellm".to_owned(),
        container_id: Some("77e04b55aa3f2a9c1d".to_owned()),
        run: None,
        state: Some("exited".to_owned()),
        depends_on: vec![
            "postgres (service_healthy), restart".to_owned(),
            "redis (service_started)".to_owned(),
        ],
        dependants: vec!["open-webui".to_owned()],
        networks: vec!["home-ai_default 172.18.0.3".to_owned()],
        volumes: vec!["/etc/aiplatd/litellm.yaml:/app/config.yaml:ro".to_owned()],
        ports: vec!["127.0.0.1:4000->4000/tcp".to_owned()],
        probe: Some("GET http :4000/health/readiness every 15s".to_owned()),
        last_probe: Some(ProbeOutcome {
            at: Timestamp::from_boot(Duration::from_secs(77)),
            passed: false,
            transcript: "GET http://172.18.0.3:4000/health/readiness: connection refused".to_owned(),
            took: Duration::from_millis(3),
        }),
        probe_attempts: 12,
        probe_failures: 3,
        probe_retries: 3,
        checks: vec![CheckDetail {
            role: Role::Liveness,
            what: "GET http :4000/health/liveliness every 15s, restarted after 3 failures in a row"
                .to_owned(),
            attempts: 4,
            failures: 0,
            retries: 3,
            last: None,
        }],
        endings: vec!["exit code 1 after 3s".to_owned(), "exit code 1 after 2s".to_owned()],
        next: "start again in 4m (after the 5th failure)".to_owned(),
        action_due: true,
        fingerprint: Some("v1:0c2e:9d1f".to_owned()),
        model_server: None,
        unit: None,
    }
}

/// Everything as the file says.
pub(crate) fn well() -> StatusDoc {
    let mut webui = service("open-webui", Word::Ready, 5, "", &[]);
    webui.endpoint = "0.0.0.0:3000".to_owned();
    let mut doc = document(vec![webui, service("postgres", Word::Ready, 4_320, "", &[])]);
    doc.platform.conditions = vec![condition(ConditionType::Ready, Status::True, Reason::AllReady, "", 5)];
    doc.platform.sentence = "2 of 2 services are Ready".to_owned();
    doc.gates = Vec::new();
    doc
}

/// One service for each word, in the words' order.
pub(crate) fn every_word() -> StatusDoc {
    let words = [
        Word::Held,
        Word::Unknown,
        Word::CrashLoop,
        Word::BackOff,
        Word::Pulling,
        Word::Pending,
        Word::Starting,
        Word::NotReady,
        Word::Degraded,
        Word::Completed,
        Word::Failed,
        Word::Ready,
    ];
    let one = |word: &Word| service(&format!("is-{word}").to_lowercase(), *word, 10, "", &[]);
    document(words.iter().map(one).collect())
}

fn document(services: Vec<ServiceStatus>) -> StatusDoc {
    let containers = services.iter().map(|service| {
        let mut resource = resource(ResourceId::container(&service.name), &service.detail.container, &[]);
        resource.status = service.status;
        resource.message.clone_from(&service.message);
        resource.conditions.clone_from(&service.conditions);
        resource
    });
    let mut resources: Vec<ResourceStatus> = containers.collect();
    resources.push(resource(ResourceId::network("default"), "home-ai_default", &["litellm", "open-webui"]));
    resources.push(resource(ResourceId::volume("pgdata"), "home-ai_pgdata", &["postgres"]));
    let mut old = resource(ResourceId::volume("old"), "home-ai_old", &[]);
    old.desired = false;
    resources.push(old);
    let mut image = resource(ResourceId::image("ghcr.io/open-webui/open-webui:main"), "", &["open-webui"]);
    image.status = Word::Pulling;
    image.pull = Some(PullProgress { done: 1_610_612_736, total: 4_294_967_296 });
    resources.push(image);
    let core =
        condition(ConditionType::Ready, Status::False, Reason::MembersNotReady, "waits for postgres", 3);
    StatusDoc {
        version: 7,
        time: NOW.to_owned(),
        platform: PlatformStatus {
            name: "home-ai".to_owned(),
            instance: "6f1c".to_owned(),
            daemon: "0.1.0".to_owned(),
            config: "/etc/aiplatd/platform.yaml".to_owned(),
            generation: 4,
            mode: "auto".to_owned(),
            conditions: vec![condition(ConditionType::Ready, Status::False, Reason::MembersNotReady, "", 3)],
            spec_report: String::new(),
            sentence: String::new(),
            engine: Some("Docker 20.10.24 (API 1.41)".to_owned()),
        },
        services,
        resources,
        models: Vec::new(),
        host: None,
        gates: vec![GateStatus {
            name: "CoreReady".to_owned(),
            condition: core,
            members: vec![ResourceId::container("postgres"), ResourceId::container("redis")],
        }],
        events: Vec::new(),
    }
}

/// [`broken`] on a machine that has been looked at, with volumes that have been measured.
pub(crate) fn with_volumes() -> StatusDoc {
    let mut doc = broken();
    let pgdata = doc.resources.iter_mut().find(|it| it.id == ResourceId::volume("pgdata"));
    pgdata.expect("it is there").usage = Some(VolumeUsage {
        size: Some(3 << 30),
        measured_secs_ago: Some(240),
        growth: Some(VolumeGrowth { bytes: 300 << 20, secs: 3_000 }),
        mount: Some("/".to_owned()),
        free: Some(9 << 30),
        pressure: Some(Pressure::Low),
    });
    let models = HostPathStatus {
        path: "/srv/models".to_owned(),
        mount: Some("/srv".to_owned()),
        free: Some(0),
        pressure: Some(Pressure::Full),
        used_by: vec!["ollama".to_owned()],
    };
    doc.host = Some(HostStatus { host_paths: vec![models], ..HostStatus::default() });
    doc
}
