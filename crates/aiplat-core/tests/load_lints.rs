//! Lints: each is given where it helps, is silent where it would be noise, and can be allowed by its name.

mod load_support;

use std::collections::BTreeSet;

use aiplat_core::load::{Facts, LINTS, Severity, load};
use load_support::{Disk, codes, facts, seen, with_services};

/// The name of a lint, services that get it, and services much like them that do not.
const SERVICES: [(&str, &str, &str); 24] = [
    (
        "liveness-without-restart",
        "a: {image: x:1, restart: no, healthcheck: {liveness: {tcp: {port: 1}}}}",
        "a: {image: x:1, healthcheck: {liveness: {tcp: {port: 1}}}}",
    ),
    (
        "start-first-without-effect",
        "a: {image: x:1, ports: ['8080:80'], deploy: {update_config: {order: start-first}}}",
        "a: {image: x:1, deploy: {update_config: {order: start-first}}}",
    ),
    ("floating-tag", "a: {image: redis}", "a: {image: redis:7}"),
    ("floating-tag", "a: {image: 'localhost:5000/x/redis:latest'}", "a: {image: 'localhost:5000/x/redis:7'}"),
    (
        "floating-tag",
        "a: {image: x/y:main-latest}",
        "a: {image: 'x@sha256:42cba146593a5ea9a622002c1b7cba5da7be248650cbb64ecb9c6c33d29794b1'}",
    ),
    ("floating-tag", "a: {image: mine}", "a: {image: mine, pull_policy: never}"),
    (
        "single-file-bind",
        "a: {image: x:1, volumes: ['./a.yml:/a.yml']}",
        "a: {image: x:1, volumes: ['./conf.d:/conf.d']}",
    ),
    (
        "single-file-bind",
        "a: {image: x:1, volumes: ['./Caddyfile:/etc/Caddyfile']}",
        "a: {image: x:1, volumes: ['./init.sh:/init.sh']}",
    ),
    (
        "published-on-all-addresses",
        "a: {image: x:1, ports: ['0.0.0.0:8080:80']}",
        "a: {image: x:1, ports: ['8080:80']}",
    ),
    (
        "published-on-all-addresses",
        "a: {image: x:1, ports: ['[::]:8080:80']}",
        "a: {image: x:1, ports: ['0.0.0.0:443:8443']}",
    ),
    (
        "backend-published",
        "a: {image: 'docker.io/library/postgres:17', ports: ['0.0.0.0:5432:5432']}",
        "a: {image: postgres:17, ports: ['5432:5432']}",
    ),
    (
        "backend-published",
        "a: {image: qdrant/qdrant:v1, ports: ['192.168.1.2:6333:6333']}",
        "a: {image: x/postgres-exporter:1, ports: ['192.168.1.2:9187:9187']}",
    ),
    (
        "default-password",
        "a: {image: x:1, environment: {DB_PASSWORD: changeme}}",
        "a: {image: x:1, environment: {DB_PASSWORD: u7sQk2}}",
    ),
    (
        "default-password",
        "a: {image: x:1, environment: [DB_USER=gitea, DB_PASSWORD=gitea]}",
        "a: {image: x:1, environment: [DB_USER=gitea, DB_NAME=gitea]}",
    ),
    (
        "default-password",
        "a: {image: x:1, environment: {ADMIN_PASSWORD: '${A:-admin}'}}",
        "a: {image: x:1, environment: {ADMIN_PASSWORD_FILE: secret}}",
    ),
    (
        "secret-in-environment",
        "a: {image: postgres:17, environment: {POSTGRES_PASSWORD: u7sQk2}}",
        "a: {image: postgres:17, environment: {POSTGRES_PASSWORD: '${A:-u7sQk2}'}}",
    ),
    (
        "secret-in-environment",
        "a: {image: n8nio/n8n:1, environment: {N8N_ENCRYPTION_KEY: u7sQk2}}",
        "a: {image: x:1, environment: {N8N_ENCRYPTION_KEY: u7sQk2}}",
    ),
    (
        "localhost-in-url",
        "a: {image: x:1, environment: {U: 'http://localhost:11434/v1'}}\n  b: {image: ollama/ollama:1}",
        "a: {image: x:1, environment: {U: 'http://localhost:11435/v1'}}\n  b: {image: ollama/ollama:1}",
    ),
    (
        "localhost-in-url",
        "a: {image: x:1, environment: {U: 'postgresql+asyncpg://u:p@127.0.0.1/x'}}\n  b: {image: postgres:17}",
        "a: {image: x:1, environment: {U: 'postgresql://u:p@b/x'}}\n  b: {image: postgres:17}",
    ),
    (
        "localhost-in-url",
        "a: {image: x:1, environment: {U: 'http://localhost:9090'}}\n  b: {image: y:1, ports: ['9090:80']}",
        "a: {image: x:1, ports: ['9090:9090'], environment: {U: 'http://localhost:9090'}}\n  b: {image: y:1}",
    ),
    (
        "unused-permission",
        "a: {image: x:1, allow_host_access: [/etc]}",
        "a: {image: x:1, allow_host_access: [/etc], volumes: ['/etc/ssl:/ssl:ro']}",
    ),
    (
        "health-unknown",
        "a: {image: x:1, depends_on: {b: {condition: service_healthy}}}\n  b: {image: y:1}",
        "a: {image: x:1, depends_on: [b]}\n  b: {image: y:1}",
    ),
    (
        "duplicate-entry",
        "a: {image: x:1, environment: [A=1, A=2]}",
        "a: {image: x:1, environment: [A=1, B=2]}",
    ),
    ("variable-left-out", "a: {image: x:1, environment: [A]}", "a: {image: x:1, environment: [A=]}"),
];

/// The name of a lint and a file that gets it; lints that are not about one service.
const FILES: [(&str, &str); 10] = [
    ("version-ignored", "version: '3'\nservices: {}\n"),
    ("unused-config", "services: {}\nconfigs: {app: {content: a}}\n"),
    ("unused-volume", "services: {}\nvolumes: {data: {}}\n"),
    ("unused-network", "services: {}\nnetworks: {back: {}}\n"),
    ("unknown-profile", "services: {}\nactive_profiles: [ui]\n"),
    ("member-left-out", "services: {a: {image: x:1, profiles: [ui]}}\ngates: {Core: [a]}\n"),
    ("model-left-out", "services: {a: {image: x:1, profiles: [ui]}}\nmodels: {m: {model: x, runner: a}}\n"),
    (
        "pull-policy-conflict",
        "services: {a: {image: x:1, pull_policy: never}, b: {image: x:1, pull_policy: always}}\n",
    ),
    ("ignored-key", "services: {a: {image: x:1, deploy: {placement: {}}}}\n"),
    (
        "no-shared-network",
        "services: {a: {image: x:1, networks: [n], depends_on: {b: {condition: service_started, required: false}}}, b: {image: y:1}}\nnetworks: {n: {}}\n",
    ),
];

/// Those that another test gives: they need a second file, or lie in what a platform always says.
const ELSEWHERE: [&str; 4] = ["api-version", "name-missing", "not-an-overlay", "nothing-to-reset"];

fn of_file(text: &str) -> Vec<&'static str> {
    codes(&format!("apiVersion: aiplat/v1\nname: home\n{text}"))
}

#[test]
fn each_is_given_where_it_helps_and_silent_where_it_would_be_noise() {
    for (lint, yes, no) in SERVICES {
        let of = |service: &str| codes(&with_services(&format!("  {service}\n")));
        assert_eq!(of(yes), [lint], "{yes}");
        assert_eq!(of(no), Vec::<&str>::new(), "{no}");
    }
    for (lint, text) in FILES {
        assert_eq!(of_file(text), [lint], "{text}");
    }
}

#[test]
fn each_can_be_allowed_for_the_platform_and_for_one_service() {
    for (lint, text) in FILES {
        let allowed = format!("lint: {{allow: [{lint}]}}\n{text}");
        assert_eq!(of_file(&allowed), Vec::<&str>::new(), "{allowed}");
    }
    for (lint, service, _) in SERVICES {
        let allowed = format!("lint: {{allow: [{lint}]}}\nservices:\n  {service}\n");
        assert_eq!(of_file(&allowed), Vec::<&str>::new(), "{allowed}");
        let inside = service.replacen('{', &format!("{{lint: {{allow: [{lint}]}}, "), 1);
        assert_eq!(of_file(&format!("services:\n  {inside}\n")), Vec::<&str>::new(), "{inside}");
    }
}

#[test]
fn what_one_service_allows_holds_for_no_other() {
    let text = with_services("  a: {image: x, lint: {allow: [floating-tag]}}\n  b: {image: y}\n");
    let loaded = Disk::with(text).load();
    let told: Vec<_> = loaded.diagnostics.iter().map(|it| (it.code, it.message.as_str())).collect();
    assert_eq!(told, [("floating-tag", "the image of `b` has no tag, which means `latest`")]);
}

#[test]
fn an_error_cannot_be_allowed() {
    let text = "lint: {allow: [no-shared-network]}\nservices: {a: {image: x:1, networks: [n], depends_on: [b]}, b: {image: y:1}}\nnetworks: {n: {}}\n";
    assert_eq!(of_file(text), ["no-shared-network"]);
}

#[test]
fn the_table_holds_every_lint_once_and_each_is_tried() {
    let names: Vec<&str> = LINTS.iter().map(|lint| lint.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    let all: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(all.len(), names.len());
    let tried =
        SERVICES.iter().map(|(lint, ..)| *lint).chain(FILES.iter().map(|(lint, _)| *lint)).chain(ELSEWHERE);
    assert_eq!(all, tried.collect());
}

#[test]
fn a_compose_file_is_told_what_it_lacks_by_name() {
    let disk = Disk::with("services: {}\n");
    let facts = Facts { accept_compose: true, ..facts() };
    let loaded = load(std::path::Path::new("/srv/home/platform.yaml"), &disk, &facts);
    let told: Vec<_> = loaded.diagnostics.iter().map(|it| (it.code, it.severity)).collect();
    assert_eq!(told, [("api-version", Severity::Warning), ("name-missing", Severity::Warning)]);
}

#[test]
fn no_value_of_an_env_file_is_shown() {
    let text = with_services("  a: {image: x:1, env_file: [a.env]}\n");
    let shown = seen(&Disk::with(text).and("a.env", "X=1\nADMIN_PASSWORD=letmein\n"));
    assert!(shown.contains("a.env:2") && !shown.contains("letmein"), "{shown}");
}

#[test]
fn what_a_person_sees() {
    let text = with_services(
        "  a:\n    image: redis\n    ports: [\"0.0.0.0:6379:6379\"]\n    volumes: [\"./redis.conf:/etc/redis.conf\"]\n  b:\n    image: x:1\n    environment:\n      URL: redis://localhost:6379/0\n      ADMIN_PASSWORD: admin\n",
    );
    insta::assert_snapshot!(seen(&Disk::with(text)));
}

#[test]
fn a_name_that_is_no_lint() {
    let text = with_services("  a: {image: x:1, lint: {allow: [floatingtag, unknown-key], alow: []}}\n");
    insta::assert_snapshot!(seen(&Disk::with(text)));
}
