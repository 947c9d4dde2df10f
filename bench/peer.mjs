// The same calls by the JavaScript SDK. Prints seconds, as floor.c does. NODE_EXTRA_CA_CERTS names the authorities.
//
// peer.mjs first URL | peer.mjs query URL CALLS | peer.mjs warm URL CALLS AT_ONCE
const start = performance.now();
const { AthenaClient, GetCalculationExecutionCommand } = await import('@aws-sdk/client-athena');
const { NodeHttpHandler } = await import('@smithy/node-http-handler');
const { Agent } = await import('node:https');

const [mode, endpoint, calls, atOnce] = process.argv.slice(2);
const client = new AthenaClient({
	endpoint,
	region: 'us-east-1',
	credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
	requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ keepAlive: true, maxSockets: Number(atOnce ?? 1) }) }),
});

async function call() {
	const answer = await client.send(
		new GetCalculationExecutionCommand({ CalculationExecutionId: '7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff' }));
	if (answer.Status.State !== 'COMPLETED')
		throw new Error(answer.Status.State);
}

function cpuSeconds() {
	const { user, system } = process.cpuUsage();
	return (user + system) / 1e6;
}

if (mode === 'first') {
	await call();
	console.log((performance.now() - start) / 1e3, cpuSeconds());
} else if (mode === 'query') {
	for (let i = 0; i < 200; i++)
		await call();
	const times = [];
	const cpu = cpuSeconds();
	for (let i = 0; i < calls; i++) {
		const before = performance.now();
		await call();
		times.push((performance.now() - before) / 1e3);
	}
	const cpuOfEach = (cpuSeconds() - cpu) / calls;
	times.sort((a, b) => a - b);
	console.log(times[Math.floor(calls / 2)], times[Math.floor(calls * 0.99)], cpuOfEach);
} else {
	await Promise.all(Array.from({ length: atOnce }, call));
	const cpu = cpuSeconds();
	const before = performance.now();
	await Promise.all(Array.from({ length: calls }, call));
	console.log((performance.now() - before) / 1e3, cpuSeconds() - cpu);
}
process.exit(0);
