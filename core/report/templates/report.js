(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var data = JSON.parse(document.getElementById("figures").textContent);
  function draw(name) {
    Object.keys(data).forEach(function (id) {
      var figure = JSON.parse(JSON.stringify(data[id][name]));
      if (document.getElementById(id).clientWidth < 480) figure.data.forEach(function (t) {
        if (t.mode === "text") t.text = t.text.map(function (s) { return s.replace(/ \(.*\)/, ""); });
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
