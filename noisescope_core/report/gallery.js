"use strict";
(() => {
  const find = document.getElementById("find");
  if (!find) return;
  const lists = [...document.querySelectorAll("[data-images]")].map((list) => ({
    list,
    around: list.closest("details"),
    images: [...list.children].map((element, place) => ({
      element,
      place,
      print: element.dataset.print,
      path: element.dataset.path.toLowerCase(),
      score: Number(element.dataset.score),
      confidence: Number(element.dataset.confidence),
    })),
  }));
  const orders = {
    fingerprint: () => 0,
    highest: (a, b) => b.score - a.score,
    lowest: (a, b) => a.score - b.score,
    confidence: (a, b) => a.confidence - b.confidence,
    name: (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0),
  };
  const [print, order, words] = ["print", "order", "words"].map((id) => document.getElementById(id));
  const count = document.getElementById("count");
  const total = lists.reduce((sum, one) => sum + one.images.length, 0);
  let sorted = "fingerprint";

  const show = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { list, around, images } of lists) {
      if (order.value !== sorted) {
        images.sort((a, b) => orders[order.value](a, b) || a.place - b.place);
        list.append(...images.map((image) => image.element));
      }
      let here = 0;
      for (const image of images) {
        const fits = (!print.value || image.print === print.value)
          && wanted.every((word) => image.path.includes(word));
        image.element.hidden = !fits;
        here += fits;
      }
      if (around && (print.value || wanted.length) && here) around.open = true;
      shown += here;
    }
    sorted = order.value;
    count.textContent = `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} shown`;
  };

  find.hidden = false;
  for (const control of [print, order]) control.addEventListener("change", show);
  words.addEventListener("input", show);
  document.getElementById("all").addEventListener("click", () => {
    print.value = words.value = "";
    order.value = "fingerprint";
    show();
    words.focus();
  });
  for (const link of document.querySelectorAll("[data-show]")) {
    link.addEventListener("click", () => {
      print.value = link.dataset.show;
      words.value = "";
      show();
      print.focus({ preventScroll: true });
    });
  }
  show();
})();
