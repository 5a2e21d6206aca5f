// What node-redis sends: `node_redis.js PORT SOCKET`.
const assert = require("assert");
const { createClient, WatchError } = require("redis");

async function check(where) {
  const client = createClient(where);
  const other = client.duplicate();
  const listener = client.duplicate();
  for (const each of [client, other, listener]) {
    each.on("error", (error) => {
      throw error;
    });
    await each.connect();
  }
  await client.flushDb();
  assert.equal(await client.set("a", "1", { EX: 10, NX: true }), "OK");
  assert.equal((await client.clientInfo()).libName, "node-redis");
  assert.equal((await client.configGet("save")).save, "");
  assert.equal((await client.commandInfo(["get"]))[0].arity, 2);

  // All at once: a pipeline.
  const done = await Promise.all(Array.from({ length: 1000 }, (_, n) => client.set("k" + n, String(n))));
  assert(done.every((answer) => answer === "OK"));
  const keys = [];
  for await (const some of client.scanIterator({ MATCH: "k*", COUNT: 100 })) keys.push(...some);
  assert.equal(new Set(keys).size, 1000);

  assert.deepEqual(await client.multi().set("a", "5").incr("a").get("a").exec(), ["OK", 6, "6"]);
  await other.watch("a");
  await client.set("a", "changed");
  await assert.rejects(other.multi().set("a", "lost").exec(), WatchError);

  const heard = [];
  let resolve;
  const all = new Promise((found) => (resolve = found));
  const hear = (message, channel) => heard.push([message, channel]) === 2 && resolve();
  await listener.subscribe("news", hear);
  await listener.pSubscribe("n*", hear);
  assert.equal(await client.publish("news", "hello"), 2);
  await all;
  assert.deepEqual(heard, [["hello", "news"], ["hello", "news"]]);
  assert(await listener.ping());
  await listener.unsubscribe();
  await listener.pUnsubscribe();
  for (const each of [client, other, listener]) await each.close();
}

(async () => {
  const [port, path] = process.argv.slice(2);
  for (const RESP of [2, 3]) {
    await check({ url: `redis://127.0.0.1:${port}`, RESP });
    await check({ url: `redis://127.0.0.1:${port}/4`, name: "me", pingInterval: 100, RESP });
    await check({ socket: { path }, RESP });
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
