"""Model: choose one and see what it is made of, before anything is run."""

from pages.frame.shell import guard

guard()

import streamlit as st

from core.base.errors import RetortError
from core.catalogue.references import Reference
from core.catalogue.samples import is_fetched
from core.jobs import actions, submissions
from core.registry.formatting import show_bytes, show_count
from core.registry.sample_types import Sample
from core.store import RunRow, TrialRow
from pages.forms import models
from pages.frame import home, login, shell
from pages.frame.states import empty, refused
from pages.frame.text import flat, md
from pages.run import panel
from pages.study.model_facts import draw, show

KINDS = {"sample": "Sample", "path": "Folder", "hub": "Hub", "run": "Kept candidate"}


def main() -> None:
    st.title("Model", anchor=False)
    panel.show_refusal()
    kind = st.radio(
        "Source", list(KINDS), key="kind", bind="query-params", format_func=KINDS.__getitem__, horizontal=True
    )
    {"sample": from_sample, "path": from_folder, "hub": from_hub, "run": from_run}[kind or "sample"]()


def from_sample() -> None:
    samples = {s.id: s for s in models.sample_models()}
    chosen = st.selectbox(
        "Sample model",
        list(samples),
        key="sample",
        bind="query-params",
        width=520,
        format_func=lambda i: samples[i].label,
    )
    wanted = samples[chosen]
    if is_fetched(wanted, home.settings()):
        show(f"sample:{wanted.id}")
    else:
        fetch(wanted)


def fetch(wanted: Sample) -> None:
    """What a sample is, what fetching it takes, its terms; or the fetch that is going on."""
    running = home.store().runs.find(kinds=("fetch",), model=f"sample:{wanted.id}", limit=1)
    if running and running[0].active:
        with st.container(border=True):
            st.header(f"Fetching {md(wanted.label)}", anchor=False)
            panel.live(running[0].id, fetching)
        return
    if running and running[0].state == "failed":
        refused(running[0].cause, running[0].remedy)
    with st.container(border=True):
        st.header(md(wanted.label), anchor=False)
        st.markdown(f"{show_count(wanted.parameters or 0)} parameters. {md(wanted.note)}")
        st.markdown(f"Licence: [{md(wanted.licence)}]({wanted.licence_url})")
        size = (
            f"Downloads {show_bytes(wanted.download_bytes)} once" if wanted.download_bytes else "Made on this machine"
        )
        st.markdown(f"{size}; takes {show_bytes(wanted.disk_bytes)} of disk afterwards.")
        accepted = True
        if wanted.opt_in:
            st.markdown(md(wanted.terms, 1000))
            accepted = st.checkbox("I accept these terms", key=f"terms-{wanted.id}")
        if login.button("fetch", "Fetch it", type="primary", icon=":material/download:", disabled=not accepted):
            actions.submit_fetch(wanted.id, home.settings(), login.actor(), accept_terms=wanted.opt_in and accepted)
            st.rerun()


def fetching(run: RunRow, trials: list[TrialRow]) -> None:
    panel.progress(run, trials)
    panel.buttons(run, trials, "fetch")


def from_folder() -> None:
    settings = home.settings()
    folders = models.local_folders(settings)
    roots = "; ".join(str(r) for r in settings.roots)
    chosen = st.selectbox(
        "Folder",
        folders,
        index=None,
        key="folder",
        bind="query-params",
        accept_new_options=True,
        width=720,
        format_func=lambda f: flat(f.removeprefix("path:"), 200),
        placeholder="Choose a folder, or type its path",
        help="A Hugging Face folder with config.json and safetensors files.",
    )
    st.caption(f"Folders may lie under: {md(roots, 600)}. RETORT_ROOTS adds others.")
    if chosen:
        show(chosen if chosen.startswith("path:") else f"path:{chosen}")
    elif not folders:
        empty(
            "No model folder yet",
            "Put one under a folder named above, then reload this page.",
            icon=":material/folder_open:",
        )


def from_hub() -> None:
    name = st.text_input(
        "Hub id",
        key="hub",
        bind="query-params",
        max_chars=200,
        width=520,
        placeholder="organisation/name, or organisation/name@revision",
        help="The revision is pinned to a commit. Safetensors only; code from the hub is never run.",
    )
    if not name:
        empty(
            "Name a model of the hub",
            "Its files are downloaded to this machine and pinned to one commit.",
            icon=":material/cloud_download:",
        )
        return
    reference = f"hub:{name.strip().removeprefix('hub:')}"
    known = str(Reference.parse(reference))
    last = home.store().runs.find(kinds=("download",), model=known, limit=1)
    if last and last[0].active:
        with st.container(border=True):
            st.header(f"Downloading {md(known)}", anchor=False)
            panel.live(last[0].id, fetching)
        return
    try:
        found = models.look(reference)
    except RetortError as error:
        if last and last[0].state == "failed":
            refused(last[0].cause, last[0].remedy)
        else:
            refused(error.cause, error.remedy)
        if login.button("fetch", "Download it", type="primary", icon=":material/cloud_download:"):
            submissions.submit_download(reference, home.settings(), login.actor())
            st.rerun()
        return
    draw(*found)


def from_run() -> None:
    kept = models.kept_candidates()
    if not kept:
        empty(
            "No candidate was kept yet",
            "A sweep keeps the models that are really smaller, unless told otherwise.",
            shell.path("sweep"),
            "Open the Sweep page",
        )
        return
    labels = {f"run:{r.key}": f"{r.label} ({r.model})" for r in home.store().candidates.rows(saved=True)}
    chosen = st.selectbox(
        "Candidate",
        kept,
        key="candidate",
        bind="query-params",
        width=720,
        format_func=lambda k: flat(labels.get(k or "", k or "")),
    )
    show(chosen or kept[0])


main()
