//! Keys that are not read: typos, later versions, refusals. What a person sees.

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
    five_mistakes_in_one_file_come_back_together: "\
apiVersion: aiplat/v1
name: home
services:
  web:
    imgae: nginx
    ports: [\"99999:80\"]
    depends_on: [db, chache]
    restart: sometimes
  cache: {image: redis}
  db:
    image: postgres
    healthcheck: {test: [CMD, pg_isready], interval: 5}
";
    no_api_version_in_a_compose_file: "services:\n  web: {image: nginx}\n";
    no_api_version_in_anything_else: "name: home\n";
    another_api_version: "apiVersion: aiplat/v2\nname: home\nservices: {}\n";
    kubernetes: "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: nginx}]}\n";
    no_services: "apiVersion: aiplat/v1\nname: home\n";
    services_without_any: "apiVersion: aiplat/v1\nname: home\nservices:\n";
    services_as_a_list: "apiVersion: aiplat/v1\nname: home\nservices:\n  - web: {image: nginx}\n";
    a_service_without_a_body: with_services("  web:\n  db: {image: postgres}\n");
    a_service_that_is_a_word: with_services("  web: nginx\n");
    a_service_without_an_image: with_services("  web: {restart: always}\n");
    a_misspelt_section: "apiVersion: aiplat/v1\nname: home\nservcies:\n  web: {image: nginx, networks: [back]}\n";
    camel_case: with_services("  web: {image: nginx, dependsOn: [db], containerName: x, envFile: a}\n  db: {image: postgres}\n");
    a_key_at_the_wrong_level: "apiVersion: aiplat/v1\nname: home\nimage: nginx\nservices:\n  web:\n    image: nginx\n    interval: 10s\n    memory: 1g\n";
    a_key_that_nobody_knows: with_services("  web: {image: nginx, florbl: 1}\n");
    keys_of_a_later_version: with_services("  web:\n    image: nginx\n    models: {chat: {}}\n    secrets: [key]\n    provider: {type: systemd}\n    gpus: [{count: 1, min_vram: 8GiB}]\n    pull_refresh_after: 24h\n");
    sections_of_a_later_version: "apiVersion: aiplat/v1\nname: home\nhost: {domain: x.org}\nsecrets: {key: {file: ./key}}\nmodels: {chat: {model: llama3}}\ninclude: [other.yaml]\nservices: {}\n";
    refused_keys: with_services("  web:\n    build: .\n    links: [db]\n    scale: 3\n    post_start: [{command: ls}]\n    use_api_socket: true\n  db:\n    image: postgres\n    deploy: {replicas: 2}\n    extends: {service: web}\n");
    ignored_keys: "apiVersion: aiplat/v1\nversion: '3.8'\nname: home\nservices:\n  web:\n    image: nginx\n    deploy: {mode: global, placement: {constraints: [node.role==manager]}}\n    ports: [{target: 80, published: 8080, mode: ingress}]\n";
    keys_of_a_healthcheck_at_the_wrong_level: with_services("  db:\n    image: postgres\n    healthcheck: {postgres: {user: postgres}, password: x, liveness: {tcp: {port: 5432}, start_period: 1m}, probe: {}}\n");
    a_mistake_in_an_anchor_is_shown_with_its_use: "apiVersion: aiplat/v1\nname: home\nx-base: &base\n  imgae: nginx\nservices:\n  web: *base\n  db: {<<: *base, image: postgres}\n";
    a_reserved_label: with_services("  web: {image: nginx, labels: [io.aiplat.instance=other]}\n");
}
