//! What keeps a container from being started although it is made.

use std::{net::IpAddr, time::Duration};

use aiplat_core::{
    ResourceId,
    observed::{ContainerId, HeldPort},
    spec::Protocol,
};
use aiplat_tests::{
    build::{healthy, service, sketch},
    scene::Scene,
    sim::Foreign,
};
use insta::assert_snapshot;

use crate::{check, edited, of, outcome};

fn foreign(name: &str) -> Foreign {
    Foreign { name: name.to_owned(), ..Foreign::default() }
}

#[test]
fn a_volume_that_a_foreign_container_writes_to_keeps_the_service_down() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-db").expect("runs");
        engine.add_foreign(&Foreign { volume: Some("demo-data".to_owned()), ..foreign("backup") });
    });
    assert_snapshot!(of(&scene, "db"), @"blocked: volume `demo-data` is open for writing in container `backup`, which is not ours: stop that first (`docker stop backup`)");
}

#[test]
fn a_volume_that_a_stopped_foreign_container_has_is_free() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-db").expect("runs");
        engine.add_foreign(&Foreign {
            volume: Some("demo-data".to_owned()),
            stopped: true,
            ..foreign("backup")
        });
    });
    assert_snapshot!(of(&scene, "db"), @"start container <demo-db> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn a_volume_that_a_compose_container_writes_to_names_its_project() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-db").expect("runs");
        engine.add_foreign(&Foreign {
            volume: Some("demo-data".to_owned()),
            compose: Some("shop".to_owned()),
            ..foreign("shop-db-1")
        });
    });
    assert_snapshot!(check(&scene), @"container/db: blocked: volume `demo-data` is open for writing in container `shop-db-1` of Docker Compose's project `shop` in /home/user/shop: stop that first (`docker stop shop-db-1`)");
}

#[test]
fn a_host_path_that_a_foreign_container_writes_to_keeps_the_service_down() {
    let mut scene = Scene::new(&sketch([service("db").bind("/srv/db")]));
    scene.engine.paths.insert("/srv/db".to_owned());
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-db").expect("runs");
        engine.add_foreign(&Foreign { bind: Some("/srv/db".to_owned()), ..foreign("backup") });
    });
    assert_snapshot!(of(&scene, "db"), @"blocked: host path `/srv/db` is open for writing in container `backup`, which is not ours: stop that first (`docker stop backup`)");
}

#[test]
fn a_volume_of_a_service_that_was_renamed_is_free_only_when_the_old_container_is_gone() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    let mut renamed =
        sketch([service("postgres").with(|s| s.image = "db:1".to_owned()).volume("data", "/data")]);
    renamed.removals = aiplat_core::spec::Removals::From(scene.now() + Duration::from_secs(2));
    scene.edit(&renamed);
    scene.observe();
    scene.reconcile(&ResourceId::container("postgres"));
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    container/db: blocked: is no longer in the file; removed once the file has been unchanged for 2s (again in 1s)
    container/postgres: blocked: volume `demo-data` is open for writing in container `demo-db` (container/db): stop that first (`docker stop demo-db`)
    ");
}

#[test]
fn services_of_one_file_share_a_volume() {
    let mut scene = Scene::new(&sketch([
        service("db").volume("data", "/data"),
        service("backup").volume("data", "/data"),
    ]));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    converged
    demo-backup Running exit=0
    demo-db Running exit=0
    ");
}

#[test]
fn a_port_that_a_foreign_container_publishes_is_named_with_its_holder() {
    let mut scene = Scene::new(&sketch([service("web").port(8_080)]));
    scene.by_hand(|engine| drop(engine.add_foreign(&Foreign { port: Some(8_080), ..foreign("nginx") })));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"container/web: blocked: host port 0.0.0.0:8080 is held by container `nginx`, which is not ours: stop that, or publish another port");
}

#[test]
fn a_port_that_another_platform_of_this_machine_publishes_is_named_with_that_platform() {
    let mut scene = Scene::new(&sketch([service("web").port(8_080)]));
    let other =
        Foreign { port: Some(8_080), instance: Some("other-instance".to_owned()), ..foreign("lab-web") };
    scene.by_hand(|engine| drop(engine.add_foreign(&other)));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"container/web: blocked: host port 0.0.0.0:8080 is held by container `lab-web` of another aiplatd's platform `lab` (container/web): stop that, or publish another port");
}

#[test]
fn a_port_that_a_process_has_just_taken_is_found_at_the_start_and_tried_again() {
    let mut scene = Scene::new(&sketch([service("web").port(8_080)]));
    scene.observe();
    scene.reconcile(&ResourceId::network("default"));
    scene.reconcile(&ResourceId::container("web"));
    let id = ResourceId::container("web");
    let start = scene.plan(&id).action.expect("it is due").action;
    scene.engine.listen(8_080);
    scene.attempt(&id, &start).expect_err("somebody was faster");
    assert_snapshot!(of(&scene, "web"), @"blocked: host port 0.0.0.0:8080 is held by process `python3` (pid 7): stop that, or publish another port");
}

#[test]
fn a_port_that_a_container_on_the_hosts_network_holds_is_named_by_that_containers_name() {
    let mut scene = Scene::new(&sketch([service("web").port(8_080), service("lb")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-web").expect("runs");
        engine.add_foreign(&foreign("proxy"));
    });
    let web = ResourceId::container("web");
    let mut said = Vec::new();
    for holder in ["proxy", "demo-lb"] {
        let held = HeldPort {
            port: 8_080,
            protocol: Protocol::Tcp,
            address: IpAddr::from([0, 0, 0, 0]),
            by: "process `nginx` (pid 7)".to_owned(),
            container: Some(ContainerId(scene.id_of(holder))),
        };
        scene.observed.held_ports.insert(web.clone(), vec![held]);
        said.push(of(&scene, "web"));
    }
    assert_snapshot!(said.join("\n"), @r"
    blocked: host port 0.0.0.0:8080 is held by process `nginx` (pid 7) of container `proxy`, which is not ours: stop that, or publish another port
    blocked: host port 0.0.0.0:8080 is held by process `nginx` (pid 7) of container `demo-lb` (container/lb): stop that, or publish another port
    ");
}

#[test]
fn a_port_that_another_service_publishes_keeps_the_second_one_down() {
    let mut scene = Scene::new(&sketch([service("a").port(80), service("b").port(80)]));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"container/b: blocked: host port 0.0.0.0:80 is held by container `demo-a` (container/a): stop that, or publish another port");
}

#[test]
fn several_closed_gates_are_all_said() {
    let mut scene = Scene::new(&sketch([
        service("db").probe(),
        service("web").after("db", healthy()).port(80).volume("data", "/data"),
    ]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-web").expect("runs");
        engine.kill("demo-db").expect("runs");
        engine.add_foreign(&Foreign {
            port: Some(80),
            volume: Some("demo-data".to_owned()),
            ..foreign("other")
        });
    });
    assert_snapshot!(of(&scene, "web"), @"blocked: volume `demo-data` is open for writing in container `other`, which is not ours: stop that first (`docker stop other`); host port 0.0.0.0:80 is held by container `other`, which is not ours: stop that, or publish another port; waits for db");
}

#[test]
fn a_dependency_that_goes_down_does_not_stop_who_runs() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-db").expect("runs"));
    assert_snapshot!(check(&scene), @"container/db: start container <demo-db> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn a_network_that_is_removed_by_hand_is_waited_for() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-web").expect("runs");
        engine.remove_network("demo-default").expect("no running container");
    });
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    container/web: blocked: waits for network/default: it does not exist yet
    ");
}

#[test]
fn what_serves_is_not_stopped_for_a_port_that_a_process_holds() {
    let web = |port| sketch([service("web").port(port)]);
    let mut scene = edited(&web(8_080), &web(9_090));
    scene.by_hand(|engine| engine.listen(9_090));
    scene.settle(Duration::from_secs(20));
    assert_snapshot!(outcome(&scene), @r"
    container/web: blocked: host port 0.0.0.0:9090 is held by process `python3` (pid 7): stop that, or publish another port
    demo-web Running exit=0
    demo-web--42550462 Created exit=0
    ");
    scene.by_hand(|engine| engine.processes.clear());
    scene.converge();
    assert_snapshot!(outcome(&scene), @r"
    converged
    demo-web Running exit=0
    ");
}
