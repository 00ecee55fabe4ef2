//! What a person or a program is told once a run is submitted.

use dybox_client::Submitted;

use super::Context;
use crate::conf::Format;
use crate::report::Failure;

/// How it is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tells<'a> {
    /// Nobody follows the run.
    pub detach: bool,
    /// The id only.
    pub quiet: bool,
    /// `-o`.
    pub output: Option<Format>,
    /// The session that it was handed to.
    pub session: Option<&'a str>,
}

/// The first line is the id, then where to look. Nobody may read it: the run goes on and is followed as ever.
pub(crate) fn tell(context: &Context, how: Tells<'_>, submitted: &Submitted) -> Result<(), Failure> {
    match say(context, how, submitted) {
        Err(failure) if failure.is_quiet() => Ok(()),
        told => told,
    }
}

fn say(context: &Context, how: Tells<'_>, submitted: &Submitted) -> Result<(), Failure> {
    let run = &submitted.info.run;
    let programs = how.output.is_some_and(Format::is_for_programs);
    if programs && how.detach {
        let mut told = serde_json::json!({ "version": 1, "run": run });
        if !submitted.applications().is_empty() {
            told["applications"] = submitted.applications().into();
        }
        return context.screen.line(&told.to_string());
    }
    if !programs {
        context.screen.line(run.as_str())?;
    }
    if submitted.existed {
        context.screen.hint("it was submitted before, with the same request id");
    }
    if how.quiet {
        return Ok(());
    }
    if let Some(session) = how.session {
        context.screen.hint(&format!("in session {session}"));
    }
    if let Some(application) = submitted.session_application()
        && let Some(pages) = pages(context)
    {
        context.screen.hint(&format!("page: {pages}/proxy/{application}/?run={run}"));
    }
    for application in submitted.applications() {
        context.screen.hint(&format!("page: {}", page(context, &application)));
    }
    context.screen.hint(&format!("look: dybox status {0} | dybox logs -f {0} | dybox stop {0}", run.short()));
    Ok(())
}

/// The page of an application, on the ResourceManager's own page where that is known.
pub(crate) fn page(context: &Context, application: &str) -> String {
    pages(context).map_or_else(|| application.to_owned(), |pages| format!("{pages}/cluster/app/{application}"))
}

/// The address of the ResourceManager's pages.
fn pages(context: &Context) -> Option<String> {
    context.client().ok().and_then(|client| client.cluster()?.pages.clone())
}
