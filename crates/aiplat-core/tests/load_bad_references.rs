//! What no single section can know. What a person sees.

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
    names_that_are_not_in_the_file: with_services("  web: {image: x, networks: [backnd], volumes: [\"dta:/data\", \"other:/other\"], depends_on: [dbb, nobody]}\n  db: {image: x, networks: [backend], volumes: [\"data:/data\"]}\nnetworks: {backend: {}}\nvolumes: {data: {}}\n");
    a_cycle: with_services("  a: {image: x, depends_on: [b]}\n  b:\n    image: x\n    depends_on:\n      c: {condition: service_started}\n  c: {image: x, depends_on: [d, a]}\n  d: {image: x}\n");
    two_cycles: with_services("  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a, c]}\n  c: {image: x, depends_on: [d]}\n  d: {image: x, depends_on: [c]}\n");
    a_service_that_depends_on_itself: with_services("  a: {image: x, depends_on: [a]}\n");
    no_shared_network: with_services("  web: {image: x, networks: [front], depends_on: [db]}\n  db: {image: x, networks: [back, far]}\n  log: {image: x, depends_on: {db: {condition: service_started, required: false}}}\nnetworks: {front: {}, back: {}, far: {}}\n");
    waiting_for_health_that_is_switched_off: with_services("  web: {image: x, depends_on: {db: {condition: service_healthy}, cache: {condition: service_healthy}, log: {condition: service_healthy}}}\n  db: {image: x, healthcheck: {disable: true}}\n  cache: {image: x}\n  log: {image: x, healthcheck: {test: [NONE]}}\n");
    waiting_for_the_end_of_what_is_restarted: with_services("  web: {image: x, depends_on: {migrate: {condition: service_completed_successfully}}}\n  migrate: {image: x, restart: unless-stopped}\n");
    ports_against_each_other: with_services("  a: {image: x, ports: [\"8080:80\", \"0.0.0.0:9000:90\", \"5353:53/udp\"]}\n  b: {image: x, ports: [\"127.0.0.1:8080:80\"]}\n  c: {image: x, ports: [\"9000:90\", \"5353:53\"]}\n  d: {image: x, ports: [\"[::]:9000:90\", \"127.0.0.2:8080:80\"]}\n  e: {image: x, ports: [\"7000-7002:7000-7002\", \"7002:1\"]}\n");
    names_against_each_other: with_services("  a: {image: x, container_name: same}\n  b: {image: x, container_name: same}\n  c: {image: x, container_name: home-d}\n  d: {image: x, networks: [n, m, home_default], volumes: [\"v:/v\", \"w:/w\"]}\nnetworks: {n: {name: one}, m: {name: one}, home_default: {external: true}, default: {}}\nvolumes: {v: {name: one}, w: {external: true, name: one}}\n");
    two_things_at_one_target: with_services("  a: {image: x, volumes: [\"v:/data\", \"./d:/data/\", \"/x/../data\"]}\nvolumes: {v: {}}\n");
    networks_of_the_engine: with_services("  a: {image: x, networks: [h, b]}\nnetworks: {h: {external: true, name: host}, b: {name: bridge}}\n");
    fixed_addresses: with_services("  a: {image: x, networks: {n: {ipv4_address: 172.28.0.10}, m: {ipv4_address: 10.9.0.1}}}\n  b: {image: x, networks: {n: {ipv4_address: 172.28.0.10}, default: {ipv6_address: \"fd00::1\"}}}\n  c: {image: x, networks: {n: {ipv4_address: 172.28.0.300}}}\nnetworks:\n  n: {ipam: {config: [{subnet: 172.28.0.0/16, gateway: 10.0.0.1, ip_range: 10.0.0.0/24}]}}\n  m: {ipam: {config: [{subnet: 172.28.128.0/17}]}}\n");
    a_dependency_that_its_profile_leaves_out: with_services("  web: {image: x, depends_on: [chat]}\n  log: {image: x, depends_on: {chat: {condition: service_started, required: false}}}\n  chat: {image: x, profiles: [ai]}\ngates: {AIReady: [chat, web]}\n");
    policies_that_do_not_agree: with_services("  a: {image: x, pull_policy: never}\n  b: {image: x, pull_policy: always}\n");
    what_nobody_uses: with_services("  a: {image: x, allow_host_access: [/etc]}\nnetworks: {far: {}}\nvolumes: {data: {}}\n");
}
