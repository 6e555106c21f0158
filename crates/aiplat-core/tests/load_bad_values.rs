//! Values that cannot be what their key takes. What a person sees.

mod load_support;

use load_support::{Disk, seen, with_services};

macro_rules! bad {
    ($($name:ident: $text:expr;)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(seen(&Disk::with($text)));
        }
    )* };
}

bad! {
    names: "apiVersion: aiplat/v1\nname: Home AI\nservices:\n  _web: {image: nginx}\n  \"a b\": {image: nginx}\n  this-name-is-longer-than-sixty-three-characters-and-so-no-host-name: {image: nginx, container_name: \"/x\"}\nnetworks: {\"back/end\": {}}\nvolumes: {\"da ta\": {}}\n";
    images: with_services("  a: {image: Nginx}\n  b: {image: \"nginx latest\"}\n  c: {image: \"nginx:\"}\n  d: {image: \"nginx@latest\"}\n  e: {image:}\n  f: {image: [nginx]}\n  g: {image: \"http://nginx\"}\n  h: {image: 5}\n  i: {image: true}\n");
    ports: with_services("  web:\n    image: nginx\n    ports:\n      - 99999\n      - \"80:http\"\n      - \"127.0.0.1:80\"\n      - \"localhost:80:80\"\n      - \"::1:80:80\"\n      - \"8000-8005:80\"\n      - \"8005-8000:8005-8000\"\n      - \"0:80\"\n      - \"53:53/sctp\"\n      - \"53:53/dns\"\n      - {published: 80}\n      - {target: 80, published: 80-90, protocol: tpc}\n      - \"a.b.c.d:80:80\"\n      - [80]\n");
    volumes: with_services("  web:\n    image: nginx\n    volumes:\n      - data:relative\n      - data:ro\n      - src/app:/app\n      - ./app:/app:Z\n      - ./conf:/conf:rp\n      - a:b:c:d\n      - ~/data:/home\n      - ./root:/\n      - :/x\n      - {type: bind, target: /y}\n      - {type: volume, source: ./z, target: /z}\n      - {type: npipe, source: x, target: /p}\n      - {source: x, target: /q}\n      - {type: tmpfs, source: x, target: /t}\n      - {type: tmpfs, target: /u, tmpfs: {size: big}}\n      - ./n:/n:nocopy\nvolumes: {data: {}}\n");
    durations_and_sizes: with_services("  web:\n    image: nginx\n    stop_grace_period: 10\n    deploy: {resources: {limits: {memory: 1x, cpus: two, pids: many}}}\n    healthcheck: {tcp: {port: 80}, interval: 0s, timeout: fast, retries: 0, start_period: -5s}\n  tiny: {image: nginx, deploy: {resources: {limits: {memory: 1m, cpus: \"-1\"}}}}\n");
    booleans: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {image: nginx, healthcheck: {disable: yes}, networks: [back]}\nnetworks: {back: {internal: \"on\", enable_ipv6: maybe}}\n";
    restarts: with_services("  a: {image: x, restart: true}\n  b: {image: x, restart: allways}\n  c: {image: x, restart: \"on-failure:0\"}\n  d: {image: x, restart: [no]}\n");
    commands: with_services("  a: {image: x, command: \"echo 'hello\"}\n  b: {image: x, entrypoint: {run: x}}\n  c: {image: x, command: [a, [b]]}\n  d: {image: x, command: \"end\\\\\"}\n");
    environments: with_services("  a: {image: x, environment: [\"A B=1\", {C: d}, \"=x\"]}\n  b: {image: x, environment: {LIST: [1], EMPTY: }}\n  c: {image: x, environment: A=1}\n");
    healthchecks: with_services("  a: {image: x, healthcheck: {interval: 5s}}\n  b: {image: x, healthcheck: {test: [curl, localhost]}}\n  c: {image: x, healthcheck: {test: [CMD]}}\n  d: {image: x, healthcheck: {test: [CMD-SHELL, curl, localhost]}}\n  e: {image: x, healthcheck: {http: {path: health}}}\n  f: {image: x, healthcheck: {http: {port: 80, path: health, status: 99, method: FETCH, scheme: https}}}\n  g: {image: x, healthcheck: {http: {port: 80}, tcp: {port: 80}}}\n  h: {image: x, healthcheck: {tcp: 6379}}\n  i: {image: x, healthcheck: {test: []}}\n  j: {image: x, healthcheck: {http: {port: 80, headers: {\"a b\": c, x: \"ü\"}}}}\n");
    probes: with_services("  a: {image: x, healthcheck: {https: {port: 443, scheme: http}}}\n  b: {image: x, healthcheck: {http: {port: 80, tls: {ca: x.pem}}}}\n  c: {image: x, healthcheck: {https: {port: 443, tls: {verify: true}}}}\n  d: {image: x, healthcheck: {https: {port: 443, tls: {verify: false, ca: x.pem}}}}\n  e: {image: x, healthcheck: {http: {port: 80, method: HEAD, body: ok, status: []}}}\n  f: {image: x, healthcheck: {redis: {username: a}}}\n  g: {image: x, healthcheck: {postgres: {port: 99999}}}\n  h: {image: x, healthcheck: {exec: {command: []}}}\n  i: {image: x, healthcheck: {exec: {}}}\n  j: {image: x, healthcheck: {exec: {command: pg_isready}}}\n  k: {image: x, healthcheck: {redis: 6379}}\n  l: {image: x, healthcheck: {tcp: {port: 1}, via: inside}}\n");
    probes_inside_a_healthcheck: with_services("  a: {image: x, healthcheck: {tcp: {port: 1}, readiness: {tcp: {port: 2}}}}\n  b: {image: x, healthcheck: {liveness: {interval: 5s}}}\n  c: {image: x, healthcheck: {liveness: {tcp: {port: 1}, http: {port: 1}}}}\n  d: {image: x, healthcheck: {startup: {test: [NONE]}}}\n  e: {image: x, healthcheck: {source: engine, http: {port: 80}}}\n  f: {image: x, healthcheck: {source: engine, startup: {tcp: {port: 80}}}}\n  g: {image: x, healthcheck: {source: docker}}\n  h: {image: x, restart: \"no\", healthcheck: {liveness: {tcp: {port: 1}}}}\n  i: {image: x, depends_on: {j: {condition: service_healthy}}}\n  j: {image: x, healthcheck: {liveness: {tcp: {port: 1}}}}\n");
    depends_on: with_services("  a: {image: x, depends_on: {b: {}}}\n  b: {image: x, depends_on: {c: {condition: service_healty}}}\n  c: {image: x, depends_on: d}\n  d: {image: x, depends_on: {e: service_started}}\n  e: {image: x}\n  f: {image: x, depends_on: [e, e]}\n");
    other_values_of_a_service: with_services("  a: {image: x, user: \"1000:\", stop_signal: SIGFOO, pull_policy: sometimes, profiles: [\"a b\"], allow_host_access: [etc]}\n  b: {image: x, pull_policy: daily, labels: x, user: }\n");
    reconcile: "apiVersion: aiplat/v1\nname: home\nreconcile: {mode: dry-run, apply: onsave, resync: 0s, restart_policy: {delay: 10m, crash_loop: 0, on_exhausted: stop}}\nservices: {}\n";
    networks_and_volumes: "apiVersion: aiplat/v1\nname: home\nservices:\n  a: {image: x, networks: [back, old], volumes: [\"data:/data\"]}\nnetworks:\n  back: {driver: host, ipam: {driver: x, config: [{subnet: 172.28.0.0, gateway: here}, {gateway: 10.0.0.1}]}}\n  old: {external: {name: x}, driver: bridge}\nvolumes:\n  data: {external: true, driver: local}\n";
    gates: "apiVersion: aiplat/v1\nname: home\nservices: {a: {image: x}}\ngates:\n  Ready: [a]\n  core ready: [a]\n  CoreReady: []\n  AIReady: [b, model/chat, vm/x, network/back, volume/data, a, a]\n";
    active_profiles: "apiVersion: aiplat/v1\nname: home\nactive_profiles: [iu, \"\"]\nservices: {a: {image: x, profiles: [ui]}}\n";
}
