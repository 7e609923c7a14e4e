// Typeset what the Markdown extension has marked as mathematics; nothing is loaded from elsewhere.
document$.subscribe(() => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, { displayMode: element.tagName === "DIV" });
  }
});
