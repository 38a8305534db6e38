
/* The stand-alone report: mount the view on the comparison that this file carries. */
window.reportView = UrialView.mount(document.getElementById("report"), {
  comparison: JSON.parse(document.getElementById("comparison").textContent),
  showQuery: true,
  heading: "URIAL side by side",
  picture: true,
});
