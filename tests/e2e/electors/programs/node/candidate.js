/**
 * A candidate with the Node package; prints what clientgo-elector prints.
 *
 * It takes part only in a cluster, so KUBERNETES_SERVICE_HOST must be set; KUBECONFIG
 * says which. hrtime is CLOCK_MONOTONIC, which every process of one machine shares.
 */
import {writeSync} from 'node:fs'
import {parseArgs} from 'node:util'
import module from '@codedependant/kubernetes-leader-election'

const {values} = parseArgs({
  options: {
    namespace: {type: 'string'}
  , lease: {type: 'string'}
  , identity: {type: 'string'}
  , duration: {type: 'string'}
  , 'interval-ms': {type: 'string'}
  }
})
const identity = values.identity
const say = (event, monotonic = process.hrtime.bigint()) => {
  writeSync(1, `{"event":"${event}","identity":"${identity}","monotonic":${monotonic}}\n`)
}
const log = {}
for (const level of ['trace', 'debug', 'info']) log[level] = () => {}
for (const level of ['warn', 'error', 'fatal']) log[level] = (...args) => {
  writeSync(2, `${level}: ${args.map(String).join(' ')}\n`)
}
log.child = () => log

const Elector = module.Elector ?? module.default ?? module
const elector = new Elector({
  identity
, lease_name: values.lease
, namespace: values.namespace
, lease_duration_sec: Number(values.duration)
, renew_interval_ms: Number(values['interval-ms'])
, log
})
elector.on(Elector.EVENTS.LEADERSHIP_ACQUIRED, () => say('started-leading'))
elector.on(Elector.EVENTS.LEADERSHIP_LOST, () => say('stopped-leading'))

let believed = false
setInterval(() => {
  const before = process.hrtime.bigint()
  const believes = elector.current_leader
  if (believes) say('work', before)
  else if (believed) say('stopped-leading', before)
  believed = believes
}, 5)
process.once('SIGTERM', async () => {
  // The work ends before the release, as the package asks of its users; current_leader
  // itself stays true while it releases.
  believed = false
  await elector.stop()
  say('stopped')
  process.exit(0)
})
say('contending')
await elector.start()
