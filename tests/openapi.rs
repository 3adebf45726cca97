//! The OpenAPI text is true: it names exactly the routes there are, and they answer as it says.

mod common;

use std::collections::BTreeSet;

use common::Server;

fn document() -> serde_json::Value {
    serde_json::from_str(include_str!("../src/server/openapi.json")).expect("JSON")
}

#[test]
fn it_names_exactly_the_routes_of_the_api() {
    let source = include_str!("../src/server/mod.rs");
    let routes = source.split(".route(").skip(1);
    let routes: BTreeSet<_> = routes.filter_map(|rest| rest.split('"').nth(1)).collect();
    let pages = ["/", "/r/{room}", "/help/share", "/admin", "/static/{*path}"];
    let api: BTreeSet<_> = routes.into_iter().filter(|r| !pages.contains(r)).collect();
    let document = document();
    let documented = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<_> = documented.keys().map(String::as_str).collect();
    assert_eq!(api, documented);
}

#[tokio::test]
async fn what_it_says_is_what_one_gets() {
    let server = Server::start("").await;
    for (path, documented) in document()["paths"].as_object().expect("paths") {
        let Some(verb) = documented.get("get") else {
            continue;
        };
        let status = get(&server, &path.replace("{room}", "nobody-here")).await;
        let said = &verb["responses"];
        assert!(
            said.get(&status).is_some() || path.ends_with("/ws"),
            "GET {path}: {status}"
        );
        if path.contains("{room}") && !path.ends_with("/ws") {
            assert_eq!(
                get(&server, &path.replace("{room}", "b%20d")).await,
                "400",
                "{path}"
            );
        }
    }
    server.stop().await;
}

/// The status code of a GET.
async fn get(server: &Server, path: &str) -> String {
    server.request("GET", path, None).await.0
}
