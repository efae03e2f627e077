/* pictures: a click, or Enter on the one with the focus, opens one large, with its path; the arrow keys go on */
const IN_A_ROW = ".shots, .query", PICTURE = ".shot img, #detail img, #chosen img";
const large = one("#large"), enlarged = document.createElement("img");
const inRow = (picture) => all("img", picture.closest(IN_A_ROW) || picture.parentNode).filter((other) => other.matches(PICTURE));
const reachable = (root) => {
  for (const row of [root, ...all(IN_A_ROW, root)]) {
    all("img", row).filter((picture) => picture.matches(PICTURE) && !picture.hasAttribute("tabindex")).forEach((picture) => {
      picture.setAttribute("role", "button");
      picture.tabIndex = picture === inRow(picture)[0] ? 0 : -1; // one stop for the tab key in each row
    });
  }
};
const step = (pictures, from, by) => pictures[(pictures.indexOf(from) + by + pictures.length) % pictures.length];
let opened = null;
const open = (picture) => {
  opened = picture;
  Object.assign(enlarged, { src: picture.src, alt: picture.alt });
  one("p", large).textContent = picture.alt;
  one("code", large).textContent = picture.dataset.path;
  if (!large.open) large.showModal();
};
const turn = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
if (large) {
  large.prepend(enlarged);
  reachable(document.body);
  document.addEventListener("click", (event) => { if (event.target.matches(PICTURE)) open(event.target); });
  document.addEventListener("keydown", (event) => {
    const picture = event.target;
    if (!picture.matches || !picture.matches(PICTURE)) return;
    if (event.key === "Enter" || event.key === " ") open(picture);
    else if (turn[event.key]) {
      const next = step(inRow(picture), picture, turn[event.key]);
      picture.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else return;
    event.preventDefault();
  });
  const go = (by) => open(step(inRow(opened), opened, by));
  large.addEventListener("keydown", (event) => { if (turn[event.key]) { event.preventDefault(); go(turn[event.key]); } });
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  large.addEventListener("close", () => { if (opened.isConnected) opened.focus(); });
  all("button", large).forEach((button) => button.addEventListener("click", () => {
    if (button.dataset.by) go(Number(button.dataset.by)); else large.close();
  }));
}
