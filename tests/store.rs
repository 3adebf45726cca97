//! Long files go to a bucket in parts, and a bucket that is busy gets them all the same. In a
//! process of its own, whose environment has the credentials.

mod bucket;
mod localhost;

use bucket::{Bucket, KEY, SECRET};
use quilt::store::{Error, Store, Target};

#[test]
fn a_long_file_goes_to_a_bucket_in_parts() {
    let (acceptor, certificate) = localhost::certified();
    let trusted = std::env::temp_dir().join(format!("quilt-trusted-{}", std::process::id()));
    std::fs::write(&trusted, certificate.pem()).expect("to write");
    // SAFETY: nothing else runs in this process yet.
    unsafe {
        std::env::set_var("AWS_ACCESS_KEY_ID", KEY);
        std::env::set_var("AWS_SECRET_ACCESS_KEY", SECRET);
        std::env::remove_var("AWS_ENDPOINT_URL");
        std::env::set_var("SSL_CERT_FILE", &trusted);
        std::env::remove_var("SSL_CERT_DIR");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let bucket = Bucket::open().await;
        let target = Target::new("s3://films/quilt", Some(&bucket.endpoint()));
        let store = Store::open(&target.expect("a target")).expect("a store");
        let file = std::env::temp_dir().join(format!("quilt-parts-{}", std::process::id()));
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| (at / 977) as u8).collect();
        std::fs::write(&file, &bytes).expect("to write");
        bucket.refuse(2, 503, "SlowDown");
        store
            .put_file("long.mp4", &file, || true)
            .await
            .expect("to arrive");
        assert!(bucket.object("/films/quilt/long.mp4") == Some(bytes.clone()));
        let requests = bucket.requests();
        let parts = requests.iter().filter(|request| request.verb == "PUT");
        assert_eq!(parts.count(), 3);
        assert_eq!(requests[0].headers["content-type"], "video/mp4");

        // What is deleted meanwhile is not put there, and its parts are cleaned up.
        let wanted = std::cell::Cell::new(2);
        let ever_less = || {
            wanted.set(wanted.get() - 1);
            wanted.get() > 0
        };
        let unwanted = store.put_file("gone.mp4", &file, ever_less).await;
        assert!(matches!(unwanted, Err(Error::Unwanted)), "{unwanted:?}");
        assert_eq!(bucket.objects(), ["/films/quilt/long.mp4"]);
        let last = bucket.requests().pop().expect("a request");
        assert_eq!(last.verb, "DELETE");

        bucket.refuse(1, 403, "SignatureDoesNotMatch");
        let refused = store
            .put("a.json", "{}".into())
            .await
            .expect_err("a refusal");
        let words = format!(
            "{} answers 403 Forbidden (SignatureDoesNotMatch)",
            bucket.address
        );
        assert_eq!(refused.to_string(), words);
        assert!(refused.is_final());

        // Over TLS, to who is who it should be and to nobody else.
        let bucket = Bucket::encrypted(acceptor).await;
        let port = bucket.address.port();
        let at = |host: &str| {
            let endpoint = format!("https://{host}:{port}");
            let target = Target::new("s3://films", Some(&endpoint));
            Store::open(&target.expect("a target")).expect("a store")
        };
        at("localhost")
            .put_file("long.mp4", &file, || true)
            .await
            .expect("to arrive");
        assert!(bucket.object("/films/long.mp4") == Some(bytes));
        let stranger = at("127.0.0.1").put("a.json", "{}".into()).await;
        let words = stranger.expect_err("another name").to_string();
        assert!(
            words.starts_with(&format!("127.0.0.1:{port}: TLS: ")),
            "{words}"
        );
        assert_eq!(bucket.objects(), ["/films/long.mp4"]);
        for file in [file, trusted] {
            std::fs::remove_file(file).expect("to remove it");
        }
    });
}
