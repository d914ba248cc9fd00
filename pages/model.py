"""Model: choose one and see what it is made of, before anything is run."""

from pages.shared.shell import guard

guard()

import streamlit as st

from core.analysis.doctor import diagnose
from core.catalogue.anatomy import Anatomy
from core.catalogue.classifiers import MEASURED_ALL_THE_SAME
from core.catalogue.references import Reference, ResolvedModel
from core.catalogue.samples import Sample, is_fetched
from core.errors import RetortError
from core.figures import anatomy as figures
from core.jobs import api, errands
from core.memory import available
from core.metrics import show_bytes, show_count
from core.store import RunRow, TrialRow
from pages.shared import charts, home, login, models, run_panel, shell
from pages.shared.states import empty, refused
from pages.shared.text import about, flat, md, plural

KINDS = {"sample": "Sample", "path": "Folder", "hub": "Hub", "run": "Kept candidate"}
DTYPES = {"float32": "32-bit float", "bfloat16": "16-bit float", "int8": "8-bit integer"}


def main() -> None:
    st.title("Model", anchor=False)
    run_panel.show_refusal()
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
            run_panel.live(running[0].id, fetching)
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
            api.submit_fetch(wanted.id, home.settings(), accept_terms=wanted.opt_in and accepted)
            st.rerun()


def fetching(run: RunRow, trials: list[TrialRow]) -> None:
    run_panel.progress(run, trials)
    run_panel.actions(run, trials, "fetch")


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
            run_panel.live(last[0].id, fetching)
        return
    try:
        found = models.look(reference)
    except RetortError as error:
        if last and last[0].state == "failed":
            refused(last[0].cause, last[0].remedy)
        else:
            refused(error.cause, error.remedy)
        if login.button("fetch", "Download it", type="primary", icon=":material/cloud_download:"):
            errands.submit_download(reference, home.settings())
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


def show(reference: str) -> None:
    """The anatomy, or in one sentence why there is none."""
    try:
        with st.spinner("Reading the model"):
            found = models.look(reference)
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    draw(*found)


def draw(resolved: ResolvedModel, found: Anatomy) -> None:
    if found.obstacle:
        refused(found.obstacle, found.way_on)
    if found.unjudged:
        st.warning(f"How often this model is right is not measured: {found.unjudged}. {MEASURED_ALL_THE_SAME}")
    facts(found)
    if st.button("Prune this model", type="primary", icon=":material/tune:"):
        st.switch_page(shell.path("sweep"), query_params={"model": str(resolved.reference)})
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.header("Parameters by part", anchor=False)
        st.plotly_chart(
            figures.parts(found.by_part, shell.ground()),
            theme=None,
            key="parts",
            config=charts.STATIC,
            alt=figures.alt(found.by_part),
        )
        if found.tied:
            st.caption("The output head shares the word embeddings, so they are stored and counted once.")
    with right:
        st.header("Memory", anchor=False)
        memory(found)
    st.header("Origin", anchor=False)
    provenance(resolved, found)
    st.header("What can be done with it", anchor=False)
    doctor(found)
    st.header("What it can be exported as", anchor=False)
    exports(resolved)


def doctor(found: Anatomy) -> None:
    """Every method: whether it works here, and what one trial would take."""
    verdicts = diagnose(found, available(), home.settings())
    st.dataframe(
        {
            "Method": [v.label for v in verdicts],
            "Possible": ["Yes" if v.possible else "No" for v in verdicts],
            "Really smaller": ["Yes" if v.smaller else "No" for v in verdicts],
            "Memory, about": [show_bytes(v.memory_bytes) for v in verdicts],
            "Time of one trial": [
                "not known yet" if v.estimate.seconds is None else about(v.estimate.seconds) for v in verdicts
            ],
            "To know": [v.why for v in verdicts],
        },
        hide_index=True,
        height="content",
        alt="What each method can do with this model, and what it takes",
    )
    st.caption("Estimates, made before anything is run.")
    run_panel.time_machine_button("model")


def exports(resolved: ResolvedModel) -> None:
    """Every form the model, and what is pruned from it, can be written in, or why not."""
    found = models.forms(resolved)
    st.dataframe(
        {
            "Format": [o.label for o in found],
            "Possible": ["Yes" if o.possible else "No" for o in found],
            "What it is": [o.explanation for o in found],
            "To know": [o.why for o in found],
        },
        hide_index=True,
        height="content",
        alt="Which formats this model can be exported in, and why not the others",
    )


def facts(found: Anatomy) -> None:
    shape = found.shape
    with st.container(horizontal=True):
        st.metric("Parameters", show_count(found.parameters), border=True, width=150)
        if shape.layers:
            st.metric("Layers", f"{shape.layers}", border=True, width=120)
        if shape.hidden:
            st.metric("Hidden size", f"{shape.hidden:,}", border=True, width=130)
        if shape.heads:
            heads = f"{shape.heads} / {shape.kv_heads}" if shape.kv_heads else str(shape.heads)
            st.metric("Query / key-value heads", heads, border=True, width=200, help=_heads(found))
        if shape.intermediate:
            st.metric("MLP size", f"{shape.intermediate:,}", border=True, width=120)
        if shape.experts:
            st.metric(
                "Experts, active", f"{shape.experts}, {shape.active_experts or shape.experts}", border=True, width=150
            )
        if shape.context:
            st.metric("Context, tokens", f"{shape.context:,}", border=True, width=150)
        if shape.vocab:
            st.metric("Vocabulary", f"{shape.vocab:,}", border=True, width=140)


def _heads(found: Anatomy) -> str:
    shape = found.shape
    if not shape.heads or not shape.kv_heads or shape.heads == shape.kv_heads:
        return "Every query head has its own keys and values."
    return f"{plural(shape.heads // shape.kv_heads, 'query head')} share one key-value head: grouped-query attention."


def memory(found: Anatomy) -> None:
    rows = [(label, show_bytes(found.bytes_in(dtype))) for dtype, label in DTYPES.items()]
    rows.append((f"Weights on disk, {found.dtype}", show_bytes(found.disk_bytes)))
    cache = found.kv_bytes_per_token
    if cache is not None:
        rows.append(("Key-value cache, per token", show_bytes(cache)))
        if found.shape.context:
            rows.append(
                (
                    f"Cache of a full context ({found.shape.context:,} tokens)",
                    show_bytes(found.kv_bytes(found.shape.context) or 0),
                )
            )
    st.table(
        {"What": [r[0] for r in rows], "Bytes": [r[1] for r in rows]},
        border="horizontal",
        hide_index=True,
        hide_header=True,
        alt="Memory the weights and the key-value cache take",
    )
    st.caption("Computed from the file's headers, not measured. 8-bit is without its scales; the cache is in 16 bits.")


def provenance(resolved: ResolvedModel, found: Anatomy) -> None:
    licence = str(resolved.provenance.get("licence") or found.licence or "not stated")
    note = str(resolved.provenance.get("note") or found.note)
    st.markdown(f"Architecture: {md(found.architecture)}. Licence: {md(licence)}.")
    st.text(f"{resolved.reference}\n{flat(str(resolved.provenance.get('source') or found.source), 300)}")
    if note:
        st.info(md(note), icon=":material/info:")
    if not found.shape.known:
        st.warning(
            "This architecture is not one Retort knows by name. Methods that only zero weights work on it; "
            "removing layers or heads may be refused.",
            icon=":material/warning:",
        )


main()
