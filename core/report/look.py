"""Style and script of the HTML report. Both are constants, so that the policy can name the script by its hash."""

STYLE = """
:root{color-scheme:light dark;--ink:#0d151e;--muted:#55616d;--line:#dfe5ea;--ground:#fff;--soft:#f4f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e7ecf1;--muted:#a9b4bf;--line:#2b3641;--ground:#11171d;--soft:#19212a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 "Source Sans",system-ui,sans-serif}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 24px}
header{padding-top:48px}
h1{font-size:clamp(1.5rem,3.4vw,2.25rem);line-height:1.25;margin:8px 0 16px;overflow-wrap:anywhere}
h1.long{font-size:clamp(1.2rem,2.2vw,1.5rem);line-height:1.4}
h2{font-size:1.4rem;margin:48px 0 12px}
h3{font-size:1.1rem;margin:0 0 8px;overflow-wrap:anywhere}
p,li{overflow-wrap:anywhere;max-width:75ch}
.quiet{color:var(--muted)}
.card{background:var(--soft);border:1px solid var(--line);border-radius:12px;padding:24px;margin:16px 0}
figure{margin:0}
figcaption{color:var(--muted);font-size:.92rem;padding:4px 0 8px}
.chart{width:100%;min-height:120px}
.wide{overflow-x:auto}
.wide:focus-visible,summary:focus-visible{outline:3px solid #0072b2;outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;color:var(--muted);padding:8px 0}
th,td{text-align:left;padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th[scope=row]{font-weight:600}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
summary{cursor:pointer;padding:6px 0}
footer{padding:32px 24px 48px;color:var(--muted)}
@media (max-width:600px){header,main,footer{padding-left:16px;padding-right:16px}
.card{padding:16px}table{min-width:860px}}
@media print{:root{--ink:#000;--muted:#444;--line:#bbb;--ground:#fff;--soft:#fff}
.card,.chart{break-inside:avoid}h2{break-after:avoid}body{font-size:11pt}.wide{overflow:visible}}
"""

SCRIPT = """
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var data = JSON.parse(document.getElementById("figures").textContent);
  function draw(name) {
    Object.keys(data).forEach(function (id) {
      var figure = JSON.parse(JSON.stringify(data[id][name]));
      if (document.getElementById(id).clientWidth < 480) figure.data.forEach(function (t) {
        if (t.mode === "text") t.text = t.text.map(function (s) { return s.replace(/ \\(.*\\)/, ""); });
      });
      Plotly.react(id, figure.data, figure.layout, {
        displayModeBar: false, scrollZoom: false, responsive: true, showLink: false, plotlyServerURL: ""
      });
    });
  }
  function now() { draw(dark.matches ? "dark" : "light"); }
  dark.addEventListener("change", now);
  window.addEventListener("beforeprint", function () { draw("light"); });
  window.addEventListener("afterprint", now);
  now();
})();
"""
