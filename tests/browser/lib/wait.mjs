// Waiting for something to become true, with the last reason why it was not.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Calls `check` until it neither throws nor returns false, and returns its value. After `within`
// milliseconds throws what it threw last.
export async function until(what, check, within = 60_000) {
  const deadline = Date.now() + within;
  for (;;) {
    let reason;
    try {
      const value = await check();
      if (value !== false) return value;
      reason = new Error('it is not so');
    } catch (error) {
      reason = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${within} ms: ${what}: ${reason.message}`, { cause: reason });
    }
    await sleep(100);
  }
}
