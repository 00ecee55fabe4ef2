import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import java.nio.ByteBuffer;

import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.tez.client.TezClient;
import org.apache.tez.dag.api.DAG;
import org.apache.tez.dag.api.Edge;
import org.apache.tez.dag.api.EdgeProperty;
import org.apache.tez.dag.api.EdgeProperty.DataMovementType;
import org.apache.tez.dag.api.EdgeProperty.DataSourceType;
import org.apache.tez.dag.api.EdgeProperty.SchedulingType;
import org.apache.tez.dag.api.InputDescriptor;
import org.apache.tez.dag.api.OutputDescriptor;
import org.apache.tez.dag.api.ProcessorDescriptor;
import org.apache.tez.dag.api.TezConfiguration;
import org.apache.tez.dag.api.UserPayload;
import org.apache.tez.dag.api.Vertex;
import org.apache.tez.dag.api.client.DAGClient;
import org.apache.tez.dag.api.client.DAGStatus;
import org.apache.tez.runtime.api.AbstractLogicalIOProcessor;
import org.apache.tez.runtime.api.Event;
import org.apache.tez.runtime.api.LogicalInput;
import org.apache.tez.runtime.api.LogicalOutput;
import org.apache.tez.runtime.api.ProcessorContext;
import org.apache.tez.runtime.library.input.UnorderedKVInput;
import org.apache.tez.runtime.library.output.UnorderedKVOutput;
import org.apache.tez.runtime.library.api.KeyValueWriter;
import org.apache.hadoop.io.IntWritable;

/**
 * A DAG whose every task runs one shell command, for comparison.
 *
 * <pre>ShellDag single|independent:N|diamonds:N|chain:N|session:N COMMAND</pre>
 *
 * session:N runs N DAGs of one task, one after the other, in one warm session, and prints for each "first byte SECONDS":
 * from its submission until the file of the property shell.watch was written, which it removes before.
 *
 * Diamonds: four vertices of N tasks with one-to-one edges. Chain: N vertices of one task.
 */
public final class ShellDag {
  public static final class Shell extends AbstractLogicalIOProcessor {
    public Shell(ProcessorContext context) {
      super(context);
    }

    @Override public void initialize() {}

    @Override public void handleEvents(List<Event> events) {}

    @Override public void close() {}

    @Override
    public void run(Map<String, LogicalInput> inputs, Map<String, LogicalOutput> outputs) throws Exception {
      for (LogicalInput input : inputs.values()) {
        input.start();
      }
      for (LogicalInput input : inputs.values()) {
        ((UnorderedKVInput) input).getReader().next();
      }
      ByteBuffer payload = getContext().getUserPayload().getPayload();
      String command = StandardCharsets.UTF_8.decode(payload.duplicate()).toString();
      int code = new ProcessBuilder("sh", "-c", command).inheritIO().start().waitFor();
      if (code != 0) {
        throw new IllegalStateException("exit code " + code);
      }
      for (LogicalOutput output : outputs.values()) {
        output.start();
        KeyValueWriter writer = ((UnorderedKVOutput) output).getWriter();
        writer.write(new IntWritable(1), new IntWritable(1));
      }
    }
  }

  private static EdgeProperty edge(TezConfiguration conf, DataMovementType how) throws Exception {
    conf.set("tez.runtime.key.class", IntWritable.class.getName());
    conf.set("tez.runtime.value.class", IntWritable.class.getName());
    UserPayload payload = org.apache.tez.common.TezUtils.createUserPayloadFromConf(conf);
    return EdgeProperty.create(how, DataSourceType.PERSISTED, SchedulingType.SEQUENTIAL,
        OutputDescriptor.create(UnorderedKVOutput.class.getName()).setUserPayload(payload),
        InputDescriptor.create(UnorderedKVInput.class.getName()).setUserPayload(payload));
  }

  private static Vertex vertex(String name, int tasks, String command) {
    UserPayload payload = UserPayload.create(ByteBuffer.wrap(command.getBytes(StandardCharsets.UTF_8)));
    ProcessorDescriptor shell = ProcessorDescriptor.create(Shell.class.getName()).setUserPayload(payload);
    return Vertex.create(name, shell, tasks, Resource.newInstance(256, 1));
  }

  private static DAG dag(String shape, String command, TezConfiguration conf) throws Exception {
    String[] parts = shape.split(":");
    int n = parts.length > 1 ? Integer.parseInt(parts[1]) : 1;
    DAG dag = DAG.create("shell-" + System.nanoTime());
    if (parts[0].equals("diamonds")) {
      Vertex[] v = new Vertex[4];
      for (int i = 0; i < 4; i++) {
        v[i] = vertex("v" + i, n, command);
        dag.addVertex(v[i]);
      }
      for (int[] e : new int[][] {{0, 1}, {0, 2}, {1, 3}, {2, 3}}) {
        dag.addEdge(Edge.create(v[e[0]], v[e[1]], edge(conf, DataMovementType.ONE_TO_ONE)));
      }
    } else if (parts[0].equals("chain")) {
      List<Vertex> chain = new ArrayList<>();
      for (int i = 0; i < n; i++) {
        chain.add(vertex("v" + i, 1, command));
        dag.addVertex(chain.get(i));
        if (i > 0) {
          dag.addEdge(Edge.create(chain.get(i - 1), chain.get(i), edge(conf, DataMovementType.ONE_TO_ONE)));
        }
      }
    } else {
      dag.addVertex(vertex("v", n, command));
    }
    return dag;
  }

  private static boolean session(int rounds, String command, TezConfiguration conf) throws Exception {
    Path watched = Paths.get(System.getProperty("shell.watch"));
    // Its tasks' processes stay for the next DAG.
    conf.setBoolean("tez.am.container.reuse.enabled", true);
    conf.setLong("tez.am.container.idle.release-timeout-min.millis", 60000);
    conf.setLong("tez.am.container.idle.release-timeout-max.millis", 120000);
    TezClient client = TezClient.create("shell-session", conf, true);
    client.start();
    client.waitTillReady();
    try {
      for (int i = 0; i < rounds; i++) {
        Files.deleteIfExists(watched);
        long begin = System.currentTimeMillis();
        DAGStatus status = client.submitDAG(dag("single", command, conf)).waitForCompletion();
        if (status.getState() != DAGStatus.State.SUCCEEDED) {
          System.out.println(status.getState() + " " + status.getDiagnostics());
          return false;
        }
        System.out.println("first byte " + (Files.getLastModifiedTime(watched).toMillis() - begin) / 1000.0);
        Thread.sleep(1000);
      }
      return true;
    } finally {
      client.stop();
    }
  }

  public static void main(String[] args) throws Exception {
    TezConfiguration conf = new TezConfiguration(new YarnConfiguration());
    conf.setBoolean("tez.ignore.lib.uris", true);
    conf.setBoolean("tez.use.cluster.hadoop-libs", true);
    conf.set("tez.cluster.additional.classpath.prefix", System.getProperty("tez.classpath"));
    conf.set("tez.staging-dir", System.getProperty("tez.staging", "/tmp/tez-staging"));
    conf.setInt("tez.am.resource.memory.mb", 256);
    conf.setInt("tez.task.resource.memory.mb", 256);
    String opens = " --add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.util=ALL-UNNAMED";
    String java = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto" + opens;
    conf.set("tez.am.launch.cmd-opts", java + " -Xmx200m");
    conf.set("tez.task.launch.cmd-opts", java + " -Xmx160m");
    conf.setBoolean("tez.runtime.optimize.local.fetch", true);
    conf.setInt("tez.runtime.io.sort.mb", 8);
    conf.setInt("tez.runtime.unordered.output.buffer.size-mb", 2);
    if (args[0].startsWith("session:")) {
      System.exit(session(Integer.parseInt(args[0].substring(8)), args[1], conf) ? 0 : 1);
    }
    TezClient client = TezClient.create("shell-dag", conf, false);
    client.start();
    try {
      DAGClient running = client.submitDAG(dag(args[0], args[1], conf));
      DAGStatus status = running.waitForCompletion();
      System.out.println(status.getState() + " " + status.getDiagnostics());
      System.exit(status.getState() == DAGStatus.State.SUCCEEDED ? 0 : 1);
    } finally {
      client.stop();
    }
  }
}
