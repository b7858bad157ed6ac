// Keeps the cheapest price in stock of each product, from the events of the product aggregator.
//
//     npm ci
//     node subscriber.js AMQP_URL [STATE_FILE] [QUEUE]
//
// Needs Node.js 22.13 and amqplib. Prints a line of JSON for each thing that is new. What it knows is in SQLite, in one
// transaction with what it has seen, and a message is acknowledged after that: killed at any moment, it has stored each
// event once. While it is away its queue keeps the events. SIGTERM and Ctrl-C stop it between two messages.

import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import amqp from 'amqplib'

const EXCHANGE = 'aggregator.events'
const TYPES = ['catalog.#', 'offers.#'] // everything
const [url, stateFile = 'subscriber.sqlite3', queue = 'subscriber.example-node'] = process.argv.slice(2)

const state = new DatabaseSync(stateFile)
state.exec(`
  CREATE TABLE IF NOT EXISTS seen (event_id TEXT PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS product (id TEXT PRIMARY KEY, version INTEGER, name TEXT);
  CREATE TABLE IF NOT EXISTS price (
    product_id TEXT PRIMARY KEY, revision INTEGER, observed_at TEXT, lowest INTEGER);
`)
const notSeen = state.prepare('INSERT OR IGNORE INTO seen VALUES (?)')
// These two change nothing when what we have is as new.
const newerProduct = state.prepare(`
  INSERT INTO product VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version, name = excluded.name
  WHERE excluded.version > product.version`)
const newerPrice = state.prepare(`
  INSERT INTO price VALUES (?, ?, ?, ?) ON CONFLICT (product_id) DO UPDATE
  SET revision = excluded.revision, observed_at = excluded.observed_at, lowest = excluded.lowest
  WHERE (excluded.revision, excluded.observed_at) > (price.revision, price.observed_at)`)

// The time with six digits after the second, as which times compare like texts.
function moment(time) {
  const [whole, fraction = ''] = time.replace('Z', '').split('.')
  return `${whole}.${fraction.padEnd(6, '0')}Z`
}

// Store what is new in the event; returns that.
function apply(event) {
  if (!notSeen.run(event.id).changes) return []
  const { data } = event
  switch (event.type) {
    case 'catalog.product-created.v1':
    case 'catalog.product-updated.v1':
    case 'catalog.product-deleted.v1': {
      // A deletion has no name. Its row stays, so that what comes late does not bring the product back.
      const { product_id: product, version, name = null } = data
      return newerProduct.run(product, version, name).changes ? [{ product, version, name }] : []
    }
    case 'offers.offers-updated.v1':
      return data.updates.flatMap(({ product_id: product, revision, observed_at, offers }) => {
        const prices = offers.filter((offer) => offer.items_in_stock > 0).map((offer) => offer.price)
        const lowest = prices.length ? prices.reduce((a, b) => Math.min(a, b)) : null
        const isNew = newerPrice.run(product, revision, moment(observed_at), lowest).changes
        return isNew ? [{ product, revision, lowest }] : []
      })
    default:
      return [] // a type of which we know nothing
  }
}

function inTransaction(work) {
  state.exec('BEGIN')
  try {
    const result = work()
    state.exec('COMMIT')
    return result
  } catch (error) {
    state.exec('ROLLBACK')
    throw error
  }
}

function handle(message, channel) {
  let news
  try {
    news = inTransaction(() => apply(JSON.parse(message.content)))
  } catch (error) {
    if (error.code === 'ERR_SQLITE_ERROR') throw error // ours, not the message's: it stays in the queue
    // No event of this contract. It would come back for ever, so it is put away, and the log says why.
    console.error(`refused ${message.properties.messageId}: ${error}`)
    channel.nack(message, false, false)
    return
  }
  for (const line of news) console.log(JSON.stringify(line))
  channel.ack(message)
}

const stopping = new AbortController()
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => stopping.abort())

// From connecting until the connection is lost, or until we are to stop.
async function subscribe() {
  const connection = await amqp.connect(url, { heartbeat: 10 })
  connection.on('error', (error) => console.error(`connection: ${error.message}`))
  const lost = once(connection, 'close')
  try {
    const channel = await connection.createChannel()
    // A queue that is gone, or a channel that the broker closed: begin again.
    channel.on('error', (error) => console.error(`channel: ${error.message}`))
    channel.on('close', () => connection.close().catch(() => {}))
    await channel.prefetch(20)
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    for (const types of TYPES) await channel.bindQueue(queue, EXCHANGE, types)
    await channel.consume(queue, (message) => (message ? handle(message, channel) : channel.close()))
    console.error(`subscribed to ${queue}`)
    await Promise.race([lost, once(stopping.signal, 'abort')])
  } finally {
    await connection.close().catch(() => {}) // sends what was acknowledged before; lost already, that is all right
  }
}

while (!stopping.signal.aborted) {
  try {
    await subscribe()
  } catch (error) {
    console.error(`not subscribed: ${error.message}`)
  }
  await sleep(1000, undefined, { signal: stopping.signal }).catch(() => {})
}
state.close()
