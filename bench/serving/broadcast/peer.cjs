// A server of node's `ws` that sends each client 5 KB for each line it reads; prints its port.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 1024 });
server.on("listening", () => console.log(server.address().port));
let number = 0;
process.stdin.on("data", (lines) => {
  for (const _ of lines) {
    if (_ !== 10) continue;
    number += 1;
    const text = JSON.stringify({ type: "x", number: String(number).padStart(6, "0"), text: "x".repeat(5000) });
    // Encoded once: a string would be encoded anew for each client.
    const bytes = Buffer.from(text);
    for (const client of server.clients) client.send(bytes, { binary: false });
  }
});
process.stdin.on("end", () => process.exit(0));
