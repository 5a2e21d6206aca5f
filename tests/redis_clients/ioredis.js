// What ioredis sends: `ioredis.js PORT SOCKET`.
const assert = require("assert");
const Redis = require("ioredis");

async function check(where) {
  const client = new Redis(where);
  const other = client.duplicate();
  const listener = client.duplicate();
  await client.flushdb();
  assert.equal(await client.set("a", "1", "EX", 10, "NX"), "OK");
  assert.equal(await client.set("a", "1", "EX", 10, "NX"), null);
  assert.match(await client.client("INFO"), /lib-name=ioredis/);
  assert.equal((await client.command("INFO", "get"))[0].length, 10);

  const pipeline = client.pipeline();
  for (let n = 0; n < 500; n++) pipeline.set("k" + n, n).get("k" + n);
  const answers = await pipeline.exec();
  assert.equal(answers[999][1], "499");
  const keys = [];
  for await (const some of client.scanStream({ match: "k*", count: 50 })) keys.push(...some);
  assert.equal(new Set(keys).size, 500);

  assert.deepEqual(await client.multi().set("a", 5).incr("a").exec(), [[null, "OK"], [null, 6]]);
  await client.watch("a");
  await other.set("a", "changed");
  assert.equal(await client.multi().set("a", "lost").exec(), null);

  const heard = [];
  const all = new Promise((resolve) => {
    const hear = (...message) => heard.push(message) === 2 && resolve();
    listener.on("message", hear);
    listener.on("pmessage", hear);
  });
  await listener.subscribe("news");
  await listener.psubscribe("n*");
  assert.equal(await client.publish("news", "hello"), 2);
  await all;
  assert.deepEqual(heard.sort(), [["n*", "news", "hello"], ["news", "hello"]]);
  await listener.unsubscribe("news");
  await listener.punsubscribe("n*");
  assert.equal(await listener.get("k1"), "1");
  for (const each of [client, other, listener]) await each.quit();
}

(async () => {
  const [port, path] = process.argv.slice(2);
  for (const where of [{ port }, { port, db: 3, connectionName: "me" }, { path }]) await check(where);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
