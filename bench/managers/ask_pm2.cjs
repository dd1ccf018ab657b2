// Ask the daemon of PM2_HOME for all processes: `node ask_pm2.cjs TIMES`.
const pm2 = require("pm2");

let left = Number(process.argv[2]);
const ask = () => {
  if (left-- === 0) process.exit(0);
  const begin = process.hrtime.bigint();
  pm2.list((error) => {
    if (error) throw error;
    console.log(Number(process.hrtime.bigint() - begin) / 1e9);
    ask();
  });
};
pm2.connect((error) => {
  if (error) throw error;
  ask();
});
