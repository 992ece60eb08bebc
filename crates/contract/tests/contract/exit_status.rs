//! What went wrong is told by the exit status, however much context was added on the way.

use std::process::ExitCode;

use anyhow::Context;
use contract::Error;
use contract::error::exit_code;

#[test]
fn the_status_is_that_of_the_error_underneath() {
    let cases = [
        (Error::Run("diverged".to_owned()), 1),
        (Error::output("samples.parquet", "no space left"), 1),
        (Error::Configuration("unknown key".to_owned()), 2),
        (Error::input("train.parquet", "no Parquet file"), 3),
    ];
    for (error, status) in cases {
        let message = error.to_string();
        assert_eq!(error.exit_status(), status);
        let failed: Result<(), Error> = Err(error);
        let result = failed.context("reading the corpus").context("cell gpt2-full");
        assert_eq!(exit_code(result), ExitCode::from(status), "{message}");
    }
    assert_eq!(
        exit_code(Err(anyhow::anyhow!("some other failure"))),
        ExitCode::from(1)
    );
    assert_eq!(exit_code(Ok(())), ExitCode::SUCCESS);
}
