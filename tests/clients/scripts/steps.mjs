// What every script does: run its steps one after another, and print for each what became of it, as JSON.
export const url = process.env.CLIENT_URL;
export const model = process.env.CLIENT_MODEL;
export const rows = process.env.CLIENT_ROWS;
export const question = "Which bed is free?";

export async function run(steps) {
  for (const [step, work] of Object.entries(steps)) {
    try {
      await work();
      console.log(JSON.stringify({ step, error: null }));
    } catch (error) {
      console.error(error);
      console.log(JSON.stringify({ step, error: `${error?.name}: ${error?.message}`.slice(0, 400) }));
    }
  }
}
