//! `quilt`: arguments, logging, run.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory, Parser, Subcommand};
use quilt::config::{Written, check_environment};

/// An MCU for video meetings: one uplink and one mixed downlink for everybody.
#[derive(Parser)]
#[command(name = "quilt", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Run the server (also what `quilt` alone does)
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Settings file; the command line and the environment go over it
    #[arg(long, env = "QUILT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Written,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("QUILT_LOG")
                .unwrap_or_else(|_| "info,webrtc=warn,rtc=error".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    match arguments.command.unwrap_or(Subcommands::Serve(arguments.serve)) {
        Subcommands::Serve(serve) => runtime.block_on(run(serve)),
    }
}

async fn run(serve: Serve) -> anyhow::Result<()> {
    check_environment(std::env::vars().map(|(name, _)| name), &known_variables())?;
    let below = match &serve.config {
        Some(path) => Written::from_file(path)?,
        None => Written::default(),
    };
    let settings = serve.settings.over(below).settle()?;
    let server = quilt::Server::bind(settings).await?;
    let (http, rtc) = (server.http().to_string(), server.rtc().to_string());
    // The first line on standard output: programs that start us read the addresses from it.
    println!("{}", serde_json::json!({ "http": http, "rtc": rtc }));
    tracing::info!("open http://{http}/");
    server.run(stop_signal()?).await
}

/// Every environment variable that some argument reads.
fn known_variables() -> Vec<String> {
    let command = Arguments::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    let arguments = all.flat_map(|command| command.get_arguments());
    let mut known: Vec<_> = arguments
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect();
    known.push("QUILT_LOG".into());
    known
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
