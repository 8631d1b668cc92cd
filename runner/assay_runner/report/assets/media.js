// Media lie in the file as base64 text and become objects of the browser when they are looked at.
const urls = new Map();

function mediumUrl(digest) {
  const entry = data.media[digest];
  if (entry.blob === undefined) return null;
  if (!urls.has(digest)) {
    const text = atob(document.getElementById(`blob-${entry.blob}`).textContent);
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    urls.set(digest, URL.createObjectURL(new Blob([bytes], { type: entry.mime })));
  }
  return urls.get(digest);
}

function described(entry) {
  return `${entry.kind}, ${entry.mime}, ${entry.size.toLocaleString("en")} bytes`;
}

// An element for a medium: the medium, or a sentence that says why it is not here.
function medium(digest, { small = false } = {}) {
  const entry = data.media[digest];
  const url = mediumUrl(digest);
  if (small) {
    if (url === null || entry.kind !== "image") return make("span", { class: "chip" }, entry.kind);
    const thumb = make("img", { class: "thumb", alt: "", loading: "lazy", decoding: "async", src: url });
    thumb.addEventListener("error", () => thumb.replaceWith(make("span", { class: "chip" }, entry.kind)));
    return thumb;
  }
  const caption = make("figcaption", {}, `${described(entry)} `, make("code", { class: "digest" }, digest));
  if (url === null) return make("figure", { class: "medium absent" }, make("p", {}, data.whys[entry.why]), caption);
  const element = entry.kind === "image"
    ? make("img", { alt: described(entry), src: url })
    : make(entry.kind, { controls: "", preload: "metadata", src: url });
  element.addEventListener("error", () =>
    element.replaceWith(make("p", {}, `This browser cannot show ${entry.mime}.`)));
  return make("figure", { class: "medium" }, element, caption);
}
